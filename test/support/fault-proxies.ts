import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type LinkFault, type Target } from './fault-proxy.js';

/** What the process is asked for. A proxy is named by its port. */
export type ProxyCall =
  | { readonly id: number; readonly kind: 'open'; readonly target: Target; readonly port: number }
  | { readonly id: number; readonly kind: 'set'; readonly ports: readonly number[]; readonly fault: LinkFault };

export interface ProxyAnswer {
  readonly id: number;
  /** Why it could not be done; absent when it was. */
  readonly problem?: string;
}

type WithoutId<Call> = Call extends unknown ? Omit<Call, 'id'> : never;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Fault proxies in a process of their own. Works from the build only: it loads no TypeScript.
 *
 * A thread will not do: Node waits for ever, at full speed, for one to end whose connections were reset while they were
 * being made.
 */
export class FaultProxies {
  private readonly child: ChildProcess = fork(fileURLToPath(new URL('./fault-proxy-process.js', import.meta.url)));
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;

  constructor() {
    this.child.on('message', (message) => {
      const { id, problem } = message as ProxyAnswer;
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (problem === undefined) waiting?.resolve();
      else waiting?.reject(new Error(problem));
    });
    this.child.once('exit', () => {
      for (const { reject } of this.waiting.values()) reject(new Error('the process of the fault proxies has ended'));
      this.waiting.clear();
    });
  }

  /** From now on the target is reached at this port of 127.0.0.1 too. @throws Error when the port is taken */
  open(target: Target, port: number): Promise<void> {
    return this.call({ kind: 'open', target, port });
  }

  /** @returns once the fault has befallen the links at all these ports */
  set(ports: readonly number[], fault: LinkFault): Promise<void> {
    return this.call({ kind: 'set', ports, fault });
  }

  /** Every connection ends. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  private call(call: WithoutId<ProxyCall>): Promise<void> {
    const id = (this.calls += 1);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.child.send({ id, ...call }, (error) => {
        if (error !== null) reject(error);
      });
    });
  }
}
