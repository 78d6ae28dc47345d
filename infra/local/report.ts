/** What a starting or running cluster tells whoever started it. Times are in ms since the step began. */
export type StepReport =
  | { state: 'started' | 'progress' | 'done' | 'failed'; step: string; elapsedMs: number; detail?: string }
  /** Outside any step: a restart, a warning that one of our processes logged, leftovers of an earlier run. */
  | { state: 'notice'; text: string };

export type Report = (step: StepReport) => void;

/** Called by the work inside a step when there is something new to show. */
export type Progress = (detail: string) => void;

const REPEAT_PROGRESS_MS = 1000;

/** Runs one step and reports its beginning and end, and once a second that it still goes on, with the latest detail. */
export async function reportStep<T>(
  report: Report,
  step: string,
  work: (progress: Progress) => Promise<T>,
): Promise<T> {
  const begin = performance.now();
  let detail: string | undefined;
  const tell = (state: 'started' | 'progress' | 'done' | 'failed') => {
    report({
      state,
      step,
      elapsedMs: Math.round(performance.now() - begin),
      ...(detail === undefined ? {} : { detail }),
    });
  };
  tell('started');
  const timer = setInterval(tell, REPEAT_PROGRESS_MS, 'progress');
  try {
    const result = await work((text) => {
      detail = text;
    });
    tell('done');
    return result;
  } catch (error) {
    tell('failed');
    throw error;
  } finally {
    clearInterval(timer);
  }
}
