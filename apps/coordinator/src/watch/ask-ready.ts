import { Agent, get } from 'node:http';

/** Connections of their own: nothing else that is asked of a zone holds up, or spoils, a look at it. */
const connections = new Agent({ keepAlive: true });

/**
 * Asks a zone's API whether it is ready.
 *
 * @returns the status of its answer: 200 when it is
 * @throws Error when nobody is there; one that says `no answer within …` when none came in time, and then that connection
 *   is closed: the next look begins with another one
 */
export function askReady(url: string, withinMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = get(`${url}/health/ready`, { agent: connections }, (answer) => {
      answer.on('end', () => {
        clearTimeout(timer);
        resolve(answer.statusCode ?? 0);
      });
      answer.on('error', fail);
      answer.resume();
    });
    const timer = setTimeout(() => {
      asked.destroy(new Error(`no answer within ${withinMs} ms`));
    }, withinMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    asked.on('error', fail);
  });
}
