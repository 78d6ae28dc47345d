import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { z } from 'zod';
import { WayToServer } from '../way-to-server.js';
import { Notices } from './notices.js';

const note = z.object({ text: z.string() });

const lines: { level: number; msg: string }[] = [];
const logger = pino(
  { level: 'info' },
  { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) },
);
const started: Notices[] = [];
/** The broker is shared by the whole run; the way to it is this test's own. */
let way: WayToServer;
let subject: string;

beforeEach(async () => {
  lines.length = 0;
  subject = `test.${randomUUID()}`;
  way = new WayToServer(inject('infrastructure').natsUrl);
  await way.mend();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((notices) => notices.stop()));
  await way.cut();
});

function startNotices(url = way.url): Notices {
  const notices = new Notices(url, 'spec', logger);
  started.push(notices);
  notices.start();
  return notices;
}

/** What a process hears, in order. */
function listenTo(notices: Notices): string[] {
  const heard: string[] = [];
  notices.listen(subject, note, ({ text }) => heard.push(text));
  return heard;
}

async function connected(notices: Notices): Promise<void> {
  await expect.poll(() => notices.isConnected, { timeout: 10_000 }).toBe(true);
}

async function disconnected(notices: Notices): Promise<void> {
  await expect.poll(() => notices.isConnected, { timeout: 10_000 }).toBe(false);
}

/** Sends until it is heard: a subscription takes effect a moment after the connection. */
async function sendUntilHeard(sender: Notices, text: string, heard: readonly string[]): Promise<void> {
  await expect
    .poll(
      () => {
        sender.publish(subject, { text });
        return heard;
      },
      { timeout: 10_000 },
    )
    .toContain(text);
}

describe('a notice', () => {
  it('reaches every process that listens, also one that began to listen after it was connected', async () => {
    const sender = startNotices();
    const early = startNotices();
    const heardEarly = listenTo(early);
    await Promise.all([connected(sender), connected(early)]);
    const late = startNotices();
    await connected(late);
    const heardLate = listenTo(late);

    await sendUntilHeard(sender, 'a', heardEarly);
    await sendUntilHeard(sender, 'b', heardLate);

    expect(heardEarly).toContain('b');
  });

  it('that cannot be read is said and skipped; the next one is heard', async () => {
    const sender = startNotices();
    const heard = listenTo(sender);
    await connected(sender);
    await sendUntilHeard(sender, 'first', heard);

    sender.publish(subject, { text: 7 });
    sender.publish(subject, undefined);
    await sendUntilHeard(sender, 'last', heard);

    expect(new Set(heard)).toEqual(new Set(['first', 'last']));
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      [40, 'notice cannot be read'],
      [40, 'notice cannot be read'],
    ]);
  });
});

describe('without a broker', () => {
  it('a process starts, drops what it has to say, and connects once the broker is there', async () => {
    const listener = startNotices();
    const heard = listenTo(listener);
    await connected(listener);
    await way.cut();
    const sender = startNotices();
    await expect.poll(() => lines.length).toBeGreaterThan(0);

    expect(() => {
      sender.publish(subject, { text: 'dropped' });
    }).not.toThrow();
    expect(sender.isConnected).toBe(false);
    await way.mend();
    await connected(sender);
    await sendUntilHeard(sender, 'heard', heard);

    expect(heard).not.toContain('dropped');
  });

  it('a process that lost it drops what it has to say, and hears again once it is back', async () => {
    const sender = startNotices();
    const heard = listenTo(sender);
    await connected(sender);
    await sendUntilHeard(sender, 'before', heard);

    await way.cut();
    await disconnected(sender);
    sender.publish(subject, { text: 'dropped' });
    await way.mend();
    await connected(sender);
    await sendUntilHeard(sender, 'after', heard);

    expect(heard).not.toContain('dropped');
  });

  it('a process stops at once that never reached it', async () => {
    await way.cut();
    const notices = startNotices();
    await expect.poll(() => lines.length).toBeGreaterThan(0);
    await notices.stop();

    expect(notices.isConnected).toBe(false);
  });

  it('a process stops at once that lost it', async () => {
    const notices = startNotices();
    listenTo(notices);
    await connected(notices);
    await way.cut();
    await notices.stop();

    expect(notices.isConnected).toBe(false);
  });
});

it('a process stops at once although its broker is frozen', async () => {
  const notices = startNotices();
  listenTo(notices);
  await connected(notices);
  way.freeze();
  await notices.stop();

  expect(notices.isConnected).toBe(false);
});

it('a wrong password is a broker that is not there: the process lives on and says so once', async () => {
  const url = new URL(way.url);
  url.password = 'wrong';
  const notices = startNotices(url.href);
  await expect.poll(() => lines.length).toBe(1);

  notices.publish(subject, { text: 'dropped' });

  expect(notices.isConnected).toBe(false);
  expect(lines[0]).toMatchObject({ level: 40, msg: 'NATS: failed, will be tried again' });
});

it('after a stop nothing is heard, and stopping again is harmless', async () => {
  const sender = startNotices();
  const stopped = startNotices();
  const heard = listenTo(stopped);
  const stillHeard = listenTo(sender);
  await Promise.all([connected(sender), connected(stopped)]);
  await sendUntilHeard(sender, 'before', heard);

  await stopped.stop();
  await stopped.stop();
  await sendUntilHeard(sender, 'after', stillHeard);

  expect(heard).not.toContain('after');
});
