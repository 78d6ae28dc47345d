import { infraFile } from './checkout.js';
import { type Secrets } from './secrets.js';
import { type ServerBinary } from './server-binaries.js';
import { type ServiceDefinition } from './service.js';
import { tcpAnswer } from './tcp-answer.js';

export function natsUrl(port: number, secrets: Secrets): string {
  return `nats://borough:${secrets.nats}@127.0.0.1:${port}`;
}

/** The one NATS of the cluster. Its settings file takes the password from the environment, where `ps` does not show it. */
export function natsService(port: number, binary: ServerBinary, secrets: Secrets): ServiceDefinition {
  const settings = infraFile('nats/nats.conf');
  return {
    name: 'nats',
    command: {
      file: binary.path,
      args: ['-c', settings, '-a', '127.0.0.1', '-p', String(port)],
      environment: { ...binary.environment, NATS_PASSWORD: secrets.nats },
    },
    marker: `${settings} -a 127.0.0.1 -p ${port}`,
    isReady: async () => (await tcpAnswer('127.0.0.1', port)).startsWith('INFO '),
    readyWithinMs: 10_000,
    askEveryMs: 25,
    stopSteps: [{ signal: 'SIGTERM', waitMs: 5000 }],
    output: 'opaque',
  };
}
