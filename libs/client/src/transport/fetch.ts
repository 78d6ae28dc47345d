/**
 * As much of `fetch` as the SDK uses. The one of every browser, of React Native and of Node fits, and so does a wrapper
 * that adds an `authorization` header.
 */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchAnswer>;

export interface FetchInit {
  readonly method: 'GET' | 'POST';
  readonly headers: Record<string, string>;
  /** JSON text; only for POST. */
  readonly body?: string;
  readonly signal: AbortSignal;
  readonly cache: 'no-store';
}

export interface FetchAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
  /** Absent where the runtime hands over whole bodies only, as React Native does. */
  readonly body?: { getReader(): ByteReader } | null | undefined;
}

/** As much of a `ReadableStreamDefaultReader` as the SDK uses. */
interface ByteReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

/** The runtime's own. Looked up at each call, so that a polyfill may come later. */
export const platformFetch: Fetch = (url, init) => fetch(url, init);
