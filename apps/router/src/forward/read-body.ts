import { type IncomingMessage } from 'node:http';
import { Problem } from '@borough/server-kit';

/**
 * The whole body, so that a slow client holds no connection to a zone and a request can be sent again.
 *
 * A body that is too large is not kept but still read off the socket (up to the server's request time-out), since a
 * client that is cut off while it sends would see a reset instead of the answer.
 *
 * @throws Problem `body-too-large`; `malformed-request` when the client goes away half-way
 */
export async function readBody(message: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(message.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(message, maxBytes);
  // A client that went away before this point is heard of no more: neither an end nor an error would come.
  if (message.destroyed) throw new Problem('malformed-request', { detail: 'The body ended early.' });
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    message.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
      else reject(tooLarge(message, maxBytes));
    });
    message.on('end', () => {
      resolve(Buffer.concat(chunks));
    });
    message.on('error', (error) => {
      reject(new Problem('malformed-request', { detail: 'The body ended early.', cause: error }));
    });
  });
}

function tooLarge(message: IncomingMessage, maxBytes: number): Problem {
  message.removeAllListeners('data');
  message.resume();
  return new Problem('body-too-large', { detail: `At most ${maxBytes} bytes are accepted.` });
}
