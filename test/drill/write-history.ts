import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { type RequestRecord } from './checker/history.js';

/** One request a line, as JSON. */
export async function writeHistory(file: string, records: readonly RequestRecord[]): Promise<void> {
  const stream = createWriteStream(file);
  for (const record of records) {
    if (!stream.write(`${JSON.stringify(record)}\n`)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'finish');
}
