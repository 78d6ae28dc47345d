import { type ZoneId } from '@borough/topology';
import { askReady } from './ask-ready.js';

/** Longest wait for a zone's API to say that it is ready, in ms. */
const PROBE_DEADLINE_MS = 500;

/** Asks the zones' APIs whether they are ready. */
export class ZoneProbes {
  /** @param zoneUrls addresses of the zones' APIs, as far as known */
  constructor(private readonly zoneUrls: ReadonlyMap<ZoneId, string>) {}

  /** By zone, those with a known address only. */
  async areReady(): Promise<ReadonlyMap<ZoneId, boolean>> {
    const answers = await Promise.all(
      [...this.zoneUrls].map(async ([zone, url]): Promise<[ZoneId, boolean]> => [zone, await isReady(url)]),
    );
    return new Map(answers);
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await askReady(url, PROBE_DEADLINE_MS)) === 200;
  } catch {
    return false;
  }
}
