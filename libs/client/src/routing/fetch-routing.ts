/** The routing table and the area map as a router gives them to whoever asks. */
import {
  areaMapView,
  getAreaMap,
  getRouting,
  routingSnapshot,
  type AreaMapView,
  type RoutingSnapshot,
} from '@borough/contracts';
import { type z } from 'zod';
import { type EndSignal } from '../transport/closing.js';
import { type Clock } from '../transport/clock.js';
import { Deadline } from '../transport/deadline.js';
import { type Fetch } from '../transport/fetch.js';

/** How one router is asked. */
export interface AskingOnce {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** How long it gets, in ms. */
  readonly tryMs: number;
  readonly signal: EndSignal;
}

export type FetchedRouting =
  | { readonly kind: 'same' }
  | {
      readonly kind: 'changed';
      readonly snapshot: RoutingSnapshot;
      readonly etag: string | undefined;
      /** This runtime hands over bodies as they arrive, so it can listen to a stream. */
      readonly canListen: boolean;
    };

/**
 * @param knownEtag of the snapshot this client has; it need not be from the same router
 * @throws whatever kept the router from giving it
 */
export async function fetchRouting(
  asking: AskingOnce,
  router: string,
  knownEtag: string | undefined,
): Promise<FetchedRouting> {
  return bounded(asking, async (signal) => {
    const answer = await asking.fetch(`${router}${getRouting.path}`, {
      method: 'GET',
      headers: knownEtag === undefined ? {} : { 'if-none-match': knownEtag },
      signal,
      cache: 'no-store',
    });
    if (answer.status === 304) return { kind: 'same' };
    // Before the text is read: a body that was read is still there, but some runtimes only then make one up.
    const canListen = typeof answer.body?.getReader === 'function';
    const snapshot = parsed(routingSnapshot, answer.ok, answer.status, await answer.text());
    return { kind: 'changed', snapshot, etag: answer.headers.get('etag') ?? undefined, canListen };
  });
}

/** @throws whatever kept the router from giving it */
export async function fetchAreaMap(asking: AskingOnce, router: string): Promise<AreaMapView> {
  return bounded(asking, async (signal) => {
    const url = `${router}${getAreaMap.path}`;
    const answer = await asking.fetch(url, { method: 'GET', headers: {}, signal, cache: 'no-store' });
    return parsed(areaMapView.strip(), answer.ok, answer.status, await answer.text());
  });
}

async function bounded<T>({ clock, tryMs, signal }: AskingOnce, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const bound = new Deadline(clock, tryMs, [signal]);
  try {
    return await work(bound.signal);
  } finally {
    bound.end();
  }
}

function parsed<Schema extends z.ZodType>(
  schema: Schema,
  isOk: boolean,
  status: number,
  text: string,
): z.output<Schema> {
  if (!isOk) throw new Error(`status ${status}`);
  return schema.parse(JSON.parse(text));
}
