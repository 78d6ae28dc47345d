import { type Clock } from '../transport/clock.js';
import { type TableCopy } from './table-copy.js';

/** A router that could not be reached is the last choice for this long, unless it answers earlier, in ms. */
const AVOIDED_MS = 5_000;

/**
 * Which routers there are, and which one to ask first.
 *
 *     the owner zone's ── then those the app was given, in its order ── then the other zones'
 *     (all of them again, with those that were lost a moment ago at the end)
 *
 * Any of them will do: a router forwards what belongs to another zone. The order saves a hop.
 */
export class KnownRouters {
  readonly #given: readonly string[];
  readonly #copy: TableCopy;
  readonly #clock: Clock;
  readonly #lostAtMs = new Map<string, number>();

  constructor(given: readonly string[], copy: TableCopy, clock: Clock) {
    this.#given = given.map(baseUrl);
    this.#copy = copy;
    this.#clock = clock;
  }

  /** Base URLs, the best first; never empty. @param tag of the request, if it has one */
  inOrder(tag?: string): readonly string[] {
    const ofOwner = tag === undefined ? undefined : this.#copy.ownersRouter(tag);
    const all = [...(ofOwner === undefined ? [] : [ofOwner]), ...this.#given, ...Object.values(this.#copy.routers)];
    const routers = [...new Set(all.map(baseUrl))];
    const nowMs = this.#clock.nowMs();
    const isAvoided = (router: string) => Math.abs(nowMs - (this.#lostAtMs.get(router) ?? -Infinity)) < AVOIDED_MS;
    return [...routers.filter((router) => !isAvoided(router)), ...routers.filter(isAvoided)];
  }

  answered(router: string): void {
    this.#lostAtMs.delete(router);
  }

  lost(router: string): void {
    this.#lostAtMs.set(router, this.#clock.nowMs());
  }
}

function baseUrl(url: string): string {
  return url.replace(/\/+$/, '');
}
