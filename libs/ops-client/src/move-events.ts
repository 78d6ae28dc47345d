/** The live progress of a move from one coordinator, for as long as that one goes on sending. */
import { MOVE_EVENTS_PATH, moveView, type MoveView } from '@borough/contracts';
import { createParser } from 'eventsource-parser';
import { pathOf } from './path-of.js';
import { urlAt } from './one-try.js';

/** Larger than any move: a view of all 4096 shards is under 2 MB. */
const EVENT_MAX_CHARACTERS = 16_000_000;

/**
 * Every view the coordinator sends, in its order. Ends when the connection does; whoever needs more connects again.
 *
 * @param silentMaxMs how long nothing at all may come before the connection is given up
 * @throws whatever broke the connection, and a `TimeoutError` after `silentMaxMs`
 */
export async function* moveEvents(
  coordinator: string,
  moveId: string,
  silentMaxMs: number,
  signal?: AbortSignal,
): AsyncGenerator<MoveView, void> {
  const ending = new AbortController();
  const end = (reason: unknown) => {
    ending.abort(reason);
  };
  const onSignal = () => {
    end(signal?.reason);
  };
  signal?.addEventListener('abort', onSignal, { once: true });
  if (signal?.aborted === true) onSignal();
  let silence: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      end(new DOMException(`nothing came for ${silentMaxMs} ms`, 'TimeoutError'));
    }, silentMaxMs);
  };
  try {
    heard();
    const response = await fetch(urlAt(coordinator, pathOf(MOVE_EVENTS_PATH, { moveId })), {
      headers: { accept: 'text/event-stream' },
      signal: ending.signal,
    });
    if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
    const arrived: MoveView[] = [];
    const parser = createParser({
      maxBufferSize: EVENT_MAX_CHARACTERS,
      onEvent: ({ data }) => {
        const reading = moveView.safeParse(JSON.parse(data));
        if (reading.success) arrived.push(reading.data);
      },
    });
    const decoder = new TextDecoder();
    const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      parser.feed(decoder.decode(value, { stream: true }));
      yield* arrived.splice(0);
    }
  } finally {
    clearTimeout(silence);
    signal?.removeEventListener('abort', onSignal);
    // Also closes the connection when the caller wants no more.
    end(new DOMException('no longer wanted', 'AbortError'));
  }
}
