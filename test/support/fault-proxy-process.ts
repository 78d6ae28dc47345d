/** Runs fault proxies in a process of its own, so that a drill that computes holds up no link. See fault-proxies.ts. */
import { type ProxyAnswer, type ProxyCall } from './fault-proxies.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.js';

/** By port. */
const proxies = new Map<number, FaultProxy>();

process.on('message', (message) => {
  const call = message as ProxyCall;
  void carryOut(call).then(
    () => {
      answer({ id: call.id });
    },
    (error: unknown) => {
      answer({ id: call.id, problem: String(error) });
    },
  );
});

// Nobody is left who could mend the links.
process.on('disconnect', () => {
  process.exit(0);
});
// Ctrl-C reaches the whole group; the drill ends this process once it has looked at what came of it.
process.on('SIGINT', () => undefined);

async function carryOut(call: ProxyCall): Promise<void> {
  if (call.kind === 'open') proxies.set(call.port, await startFaultProxy(call.target, call.port));
  else for (const port of call.ports) proxies.get(port)?.set(call.fault);
}

function answer(message: ProxyAnswer): void {
  process.send?.(message);
}
