/**
 * Does `work` for every item, at most `atOnce` at a time, in order of beginning. Stops beginning when `signal` aborts
 * or a piece of work throws; what was begun is ended first. Throws what the first failing piece threw.
 */
export async function inParallel<Item>(
  items: readonly Item[],
  atOnce: number,
  signal: AbortSignal,
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const remaining = items.entries();
  let hasFailed = false;
  const lane = async () => {
    for (const [index, item] of remaining) {
      if (signal.aborted || hasFailed) return;
      try {
        await work(item, index);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
}
