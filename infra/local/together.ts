/**
 * Runs all side by side. When one fails the others are told to end, and only when all have ended does it reject: nothing is
 * started behind the back of whoever cleans up.
 */
export async function together(
  signal: AbortSignal | undefined,
  works: readonly ((signal: AbortSignal) => Promise<void>)[],
) {
  const own = new AbortController();
  const all = signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]);
  let firstFault: unknown;
  await Promise.all(
    works.map(async (work) => {
      try {
        await work(all);
      } catch (error) {
        if (!own.signal.aborted) firstFault = error;
        own.abort(error);
      }
    }),
  );
  if (own.signal.aborted) throw firstFault;
}
