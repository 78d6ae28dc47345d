import { ROUTING_EVENT, ROUTING_STREAM_PATH, routingUpdate, type RoutingUpdate } from '@borough/contracts';
import { createParser } from 'eventsource-parser';
import { type AskingOnce } from './fetch-routing.js';

/** Larger than any table: 4096 entries are under 1 MB. */
const EVENT_MAX_CHARACTERS = 8_000_000;

export interface Listening extends AskingOnce {
  /** How long nothing at all may come, in ms; a router sends something every 15 s. */
  readonly silentMaxMs: number;
  /** What this client has, so that a router need not send it again; undefined without a table. */
  readonly lastEventId: string | undefined;
  /** In the order of the router. Undefined: an event came that cannot be read. */
  readonly onUpdate: (update: RoutingUpdate | undefined) => void;
  /** The router has begun to send. */
  readonly onOpen: () => void;
}

/**
 * Listens to a router's changes of the routing table until the connection ends.
 *
 * @throws whatever ended it; it returns when the router ended it in good order
 */
export async function listen(
  { fetch, clock, tryMs, signal, silentMaxMs, lastEventId, onUpdate, onOpen }: Listening,
  router: string,
): Promise<void> {
  const connection = new AbortController();
  const end = () => {
    connection.abort();
  };
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  let callOff = clock.after(tryMs, end);
  try {
    const answer = await fetch(`${router}${ROUTING_STREAM_PATH}`, {
      method: 'GET',
      headers: { accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) },
      signal: connection.signal,
      cache: 'no-store',
    });
    const reader = answer.ok ? answer.body?.getReader() : undefined;
    if (reader === undefined) throw new Error(`status ${answer.status}`);
    onOpen();
    const parser = createParser({
      maxBufferSize: EVENT_MAX_CHARACTERS,
      onEvent: ({ event, data }) => {
        if (event === ROUTING_EVENT) onUpdate(readUpdate(data));
      },
    });
    const decoder = new TextDecoder();
    for (;;) {
      callOff();
      callOff = clock.after(silentMaxMs, end);
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    callOff();
    signal.removeEventListener('abort', end);
    end();
  }
}

function readUpdate(data: string): RoutingUpdate | undefined {
  try {
    return routingUpdate.parse(JSON.parse(data));
  } catch {
    return undefined;
  }
}
