/** For specs: the built program in a process of its own, as a script starts it or as a person at a terminal does. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CHECKOUT = fileURLToPath(new URL('../../../', import.meta.url));
const MAIN = fileURLToPath(new URL('../../../dist/apps/ops-cli/src/main.js', import.meta.url));

/** For `expect.poll`: a process takes a third of a second to start on an idle machine, and longer than a poll's own second on a busy one. */
export const PATIENT = { timeout: 15_000, interval: 20 } as const;

/** Of util-linux: gives a program a pseudo-terminal, and passes on what is typed. */
const SCRIPT = 'script';
export const hasPseudoTerminal = spawnSync(SCRIPT, ['-qec', 'true', '/dev/null']).status === 0;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly ended: Promise<Ended>;
}

/** Builds what has changed. @returns what the build said; empty when all is well */
export function build(): string {
  const { stdout, stderr } = spawnSync('sh', ['infra/local/build-if-changed.sh'], { cwd: CHECKOUT, encoding: 'utf8' });
  return stderr + stdout;
}

export class BoroughProcesses {
  readonly #children = new Set<ChildProcess>();

  /** @param coordinatorUrls asked for at each start */
  constructor(private readonly coordinatorUrls: () => readonly string[]) {}

  start(args: readonly string[], command = process.execPath, prefix: readonly string[] = [MAIN]): Running {
    // What the machine of the spec says about colours is not asked.
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME, TERM: 'xterm', BOROUGH_COORDINATOR_URLS: this.coordinatorUrls().join(',') };
    const child = spawn(command, [...prefix, ...args], { env });
    this.#children.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<Ended>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status) => {
        resolve({ status, stdout, stderr });
      });
    });
    return { child, stdout: () => stdout, ended };
  }

  /** Runs a verb to its end, without a terminal. */
  run(...args: string[]): Promise<Ended> {
    const running = this.start(args);
    running.child.stdin?.end();
    return running.ended;
  }

  /**
   * @param line what is typed after `borough`
   * @param environment variables to set before it, like `NO_COLOR=1`
   */
  atTerminal(line: string, environment = ''): Running {
    return this.start([`${environment} '${process.execPath}' '${MAIN}' ${line}`.trim(), '/dev/null'], SCRIPT, ['-qec']);
  }

  /** After each test. */
  killAll(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#children.clear();
  }
}

export function type({ child }: Running, text: string): void {
  child.stdin?.write(text);
}
