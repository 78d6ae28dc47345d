import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { type Layout } from './layout.js';
import { lastLines, logLines, readableWarning, rotateLog } from './log-file.js';
import { birthOf, childrenOf, type ProcessRecord, signalProcess, type StopStep } from './os-process.js';
import { writePrivateJson } from './private-file.js';
import { type Command, plainEnvironment } from './run-command.js';
import { StarterError } from './starter-error.js';
import { waitUntil } from './wait-until.js';

/** A server process: how it is started, known to be ready, recognised after a crash of the starter, and ended. */
export interface ServiceDefinition {
  name: string;
  command: Command;
  /** A part of the command line, as the process shows it once it runs, that nobody else's has. */
  marker: string;
  /** Whether it answers. It may throw: that counts as no, and the message is told if it never becomes ready. */
  isReady: () => Promise<boolean>;
  readyWithinMs: number;
  /** How often that is asked. Asking too often takes the time that the process needs to get ready. */
  askEveryMs: number;
  /** Asked in turn, each with its bound; SIGKILL follows by itself. */
  stopSteps: readonly StopStep[];
  /** Our own processes write pino lines; a server's output is not understood and goes straight to its log file. */
  output: 'pino' | 'opaque';
  /** Done before each start, also before a restart. */
  beforeStart?: () => void;
}

type State =
  { kind: 'down' } | { kind: 'up'; child: ChildProcess; since: number } | { kind: 'restarting'; timer: NodeJS.Timeout };

/** One that dies sooner than this after its start is started again more and more slowly. */
const SETTLED_AFTER_MS = 5000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** While it was never ready: after so many deaths in a row it is not going to be. */
const DEATHS_BEFORE_GIVING_UP = 5;

const ENDING_SIGNALS: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT'];

/**
 * Keeps one process running: started once, then started again whenever it dies without being told to.
 * It leads a process group of its own, so Ctrl-C in a terminal reaches the starter alone, which stops all in order.
 */
export class Service {
  readonly name: string;
  restarts = 0;
  #state: State = { kind: 'down' };
  #wanted = false;
  #deathsInARow = 0;

  constructor(
    private readonly definition: ServiceDefinition,
    private readonly layout: Layout,
    private readonly notice: (text: string) => void,
  ) {
    this.name = definition.name;
    rotateLog(layout.logFile(this.name));
  }

  get pid(): number | undefined {
    return this.#state.kind === 'up' ? this.#state.child.pid : undefined;
  }

  /** Starts it unless it runs. @returns when it is ready @throws StarterError with the end of its log when it does not become so */
  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#wanted = true;
    this.#deathsInARow = 0;
    if (this.#state.kind === 'restarting') clearTimeout(this.#state.timer);
    if (this.#state.kind !== 'up') this.#launch();
    let lastFault = '';
    const isReady = await waitUntil(
      async () => {
        if (this.#deathsInARow >= DEATHS_BEFORE_GIVING_UP) throw this.#startError('dies again and again');
        if (!this.#wanted) throw new StarterError(`${this.name} was stopped before it was ready.`);
        if (this.#state.kind !== 'up') return false;
        try {
          return await this.definition.isReady();
        } catch (error) {
          lastFault = error instanceof Error ? `: ${error.message}` : '';
          return false;
        }
      },
      { withinMs: this.definition.readyWithinMs, everyMs: this.definition.askEveryMs, signal },
    );
    if (!isReady) throw this.#startError(`was not ready within ${this.definition.readyWithinMs / 1000} s${lastFault}`);
  }

  /** Ends it as its definition says. @returns once it is gone */
  async stop(): Promise<void> {
    const child = this.#letGo();
    if (child === undefined) return;
    for (const { signal, waitMs } of this.definition.stopSteps) {
      child.kill(signal);
      this.#continueTree(child); // one that a test has frozen would not hear the first
      if (await hasEnded(child, waitMs)) return;
    }
    this.#killTree(child);
    await hasEnded(child, 5000);
  }

  /** Ends it and its own children without asking. Does not wait. */
  killNow(): void {
    const child = this.#letGo();
    if (child !== undefined) this.#killTree(child);
  }

  /**
   * Sends a signal, as a test does that plays an accident. One that ends a process also suspends its supervision, until `start`;
   * with SIGKILL its own children die in the same moment, and with SIGSTOP and SIGCONT they stop and go on with it.
   *
   * @returns for an ending signal, once the process is gone
   */
  async signal(signal: NodeJS.Signals): Promise<void> {
    if (!ENDING_SIGNALS.includes(signal)) {
      if (this.#state.kind !== 'up') return;
      if (signal === 'SIGSTOP') this.#stopTree(this.#state.child);
      else if (signal === 'SIGCONT') this.#continueTree(this.#state.child);
      else this.#state.child.kill(signal);
      return;
    }
    const child = this.#letGo();
    if (child === undefined) return;
    if (signal === 'SIGKILL') this.#killTree(child);
    else child.kill(signal);
    if (!(await hasEnded(child, 15_000))) throw new Error(`${this.name} did not end within 15 s of ${signal}`);
  }

  /** Ends the supervision; the process itself, if there is one, is the caller's to end. */
  #letGo(): ChildProcess | undefined {
    this.#wanted = false;
    if (this.#state.kind === 'up') return this.#state.child;
    if (this.#state.kind === 'restarting') clearTimeout(this.#state.timer);
    this.#state = { kind: 'down' };
    return undefined;
  }

  #launch(): void {
    this.definition.beforeStart?.();
    const { command, output } = this.definition;
    const logPath = this.layout.logFile(this.name);
    const log = output === 'opaque' ? openSync(logPath, 'a', 0o600) : undefined;
    const child = spawn(command.file, command.args, {
      detached: true,
      stdio: ['ignore', log ?? 'pipe', log ?? 'pipe'],
      env: command.environment ?? plainEnvironment(),
      cwd: command.cwd ?? this.layout.directory,
      ...command.account,
    });
    if (log !== undefined) closeSync(log);
    const since = Date.now();
    this.#state = { kind: 'up', child, since };
    if (child.stdout !== null && child.stderr !== null) {
      logLines([child.stdout, child.stderr], logPath, (line) => {
        const warning = readableWarning(this.name, line);
        if (warning !== undefined) this.notice(warning);
      });
    }
    if (child.pid !== undefined) this.#record(child.pid);
    child.once('error', (error) => {
      if (child.pid === undefined) this.#onEnd(since, error.message);
    });
    child.once('exit', (code, signal) => {
      this.#onEnd(since, signal ?? `exit code ${String(code)}`);
    });
  }

  #onEnd(since: number, how: string): void {
    rmSync(this.layout.processFile(this.name), { force: true });
    this.#state = { kind: 'down' };
    if (!this.#wanted) return;
    const livedMs = Date.now() - since;
    this.#deathsInARow = livedMs < SETTLED_AFTER_MS ? this.#deathsInARow + 1 : 0;
    const pauseMs = pauseAfterDeaths(this.#deathsInARow);
    this.notice(`${this.name}  died (${how}), ${pauseMs === 0 ? 'started again' : `again in ${pauseMs / 1000} s`}`);
    this.restarts += 1;
    const timer = setTimeout(() => {
      this.#launch();
    }, pauseMs);
    this.#state = { kind: 'restarting', timer };
  }

  #record(pid: number): void {
    const birth = birthOf(pid);
    if (birth === undefined) return; // dead already: the exit handler will tell
    const { command, marker } = this.definition;
    const line = [command.file, ...command.args].join(' ');
    const record: ProcessRecord = { pid, birth, marker, command: line, startedAt: new Date().toISOString() };
    writePrivateJson(this.layout.processFile(this.name), record);
  }

  #killTree(child: ChildProcess): void {
    const children = child.pid === undefined ? [] : childrenOf(child.pid);
    child.kill('SIGKILL');
    for (const pid of children) signalProcess(pid, 'SIGKILL');
  }

  /** The parent first: one that is stopped makes no more children. */
  #stopTree(child: ChildProcess): void {
    child.kill('SIGSTOP');
    for (const pid of child.pid === undefined ? [] : childrenOf(child.pid)) signalProcess(pid, 'SIGSTOP');
  }

  #continueTree(child: ChildProcess): void {
    for (const pid of child.pid === undefined ? [] : childrenOf(child.pid)) signalProcess(pid, 'SIGCONT');
    child.kill('SIGCONT');
  }

  #startError(what: string): StarterError {
    const path = this.layout.logFile(this.name);
    return new StarterError(`${this.name} ${what}. The end of its log, ${path}:\n${lastLines(path, 12)}`);
  }
}

/** How long to wait before a process that died `deaths` times in a row, each soon after its start, is started again. */
export function pauseAfterDeaths(deaths: number): number {
  return deaths === 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (deaths - 1), LONGEST_PAUSE_MS);
}

function hasEnded(child: ChildProcess, withinMs: number): Promise<boolean> {
  return waitUntil(() => child.exitCode !== null || child.signalCode !== null, { withinMs, everyMs: 5 });
}
