import { connect } from 'node:net';

/**
 * Connects, says something if there is something to say, and returns the first thing the other side sends.
 *
 * @throws Error when it cannot connect, or nothing comes within a second
 */
export function tcpAnswer(host: string, port: number, request = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    socket.setTimeout(1000);
    socket.once('connect', () => {
      if (request !== '') socket.write(request);
    });
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString('utf8'));
    });
    socket.once('timeout', () => {
      socket.destroy();
      reject(new Error(`${host}:${port} did not answer within 1 s`));
    });
    socket.once('error', (error) => {
      socket.destroy();
      reject(error);
    });
    socket.once('close', () => {
      reject(new Error(`${host}:${port} closed the connection without an answer`));
    });
  });
}
