/** Shows how far a long step is: a bar on a terminal, a plain line every two seconds anywhere else. */
import { SingleBar } from 'cli-progress';

const BAR_EVERY_MS = 250;
const LINE_EVERY_MS = 2_000;

export interface Counts {
  readonly done: number;
  readonly errors: number;
}

export interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * Runs `work` with its progress shown on `screen`.
 *
 * @param read asked a few times a second, so the work itself only counts
 */
export async function withProgress<Result>(
  label: string,
  total: number,
  read: () => Counts,
  work: () => Promise<Result>,
  screen: Screen & NodeJS.WritableStream = process.stderr,
): Promise<Result> {
  const display = screen.isTTY === true ? barOn(screen, label, total) : linesOn(screen, label, total);
  const rate = rateMeter(read, performance.now());
  const show = () => {
    display.show(read(), rate(performance.now()));
  };
  const timer = setInterval(show, display.everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    display.end(read());
  }
}

interface Display {
  readonly everyMs: number;
  show(counts: Counts, perSecond: number): void;
  end(counts: Counts): void;
}

/** Things done per second since it was last asked. */
export function rateMeter(read: () => Counts, startedAtMs: number): (nowMs: number) => number {
  let last = { done: read().done, atMs: startedAtMs };
  return (nowMs) => {
    const now = { done: read().done, atMs: nowMs };
    const perSecond = now.atMs > last.atMs ? ((now.done - last.done) * 1000) / (now.atMs - last.atMs) : 0;
    last = now;
    return perSecond;
  };
}

/** `orders 1200/55162 (2 %), 812/s, 0 errors` */
export function progressLine(label: string, total: number, counts: Counts, perSecond: number): string {
  const percent = total === 0 ? 100 : Math.floor((100 * (counts.done + counts.errors)) / total);
  return `${label} ${counts.done}/${total} (${percent} %), ${Math.round(perSecond)}/s, ${counts.errors} errors`;
}

function linesOn(screen: Screen, label: string, total: number): Display {
  return {
    everyMs: LINE_EVERY_MS,
    show: (counts, perSecond) => {
      screen.write(`${progressLine(label, total, counts, perSecond)}\n`);
    },
    end: ({ done, errors }) => {
      screen.write(`${label} ${done}/${total}, ${errors} errors\n`);
    },
  };
}

function barOn(screen: NodeJS.WritableStream, label: string, total: number): Display {
  const format = `${label} [{bar}] {percentage} % {value}/{total}, {rate}/s, {errors} errors`;
  const bar = new SingleBar({ format, stream: screen, hideCursor: true });
  let rate = 0;
  const update = ({ done, errors }: Counts) => {
    bar.update(done + errors, { rate: Math.round(rate), errors });
  };
  bar.start(total, 0, { rate: 0, errors: 0 });
  return {
    everyMs: BAR_EVERY_MS,
    show: (counts, perSecond) => {
      rate = perSecond;
      update(counts);
    },
    end: (counts) => {
      update(counts);
      bar.stop();
    },
  };
}
