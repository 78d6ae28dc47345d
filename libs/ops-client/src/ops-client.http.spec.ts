import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROBLEMS, type MoveView, type ProblemCode } from '@borough/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { AnswerNotUnderstood, NoCoordinator, OpsClient, OpsRefused } from './index.js';

const MOVE_ID = 'mov_01h455vb4pex5vsknk084sn02q';
const ASKED = { target: { kind: 'shards' as const, shards: [3], to: 'b' }, why: 'test', requestedBy: 'ana@laptop' };
const ROUTING = { tableVersion: 9, areaMapVersion: 1, entries: [] };
const PLAN = { shards: [], steps: [], checks: [], isBlocked: false, expectedPauseMs: 18 };

function moveAt(version: number, state: MoveView['state'] = 'running'): MoveView {
  return {
    moveId: MOVE_ID,
    kind: 'handover',
    target: { kind: 'shards', shards: [3], to: 'b' },
    why: 'test',
    requestedBy: 'ana@laptop',
    requestedAt: '2026-11-23T14:31:05.000Z',
    state,
    ...(state === 'ended' ? { outcome: 'moved' as const } : {}),
    plan: PLAN,
    shards: [],
    coordinators: ['coordinator-1'],
    version,
  };
}

type Handler = (request: IncomingMessage & { body: string }, response: ServerResponse) => void;

const servers: Server[] = [];

/** A coordinator of the spec's own making. */
async function coordinator(handle: Handler): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      handle(Object.assign(request, { body: Buffer.concat(chunks).toString() }), response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

/** An address where nobody listens any more. */
async function deadCoordinator(): Promise<string> {
  const { url, server } = await coordinator(() => undefined);
  await new Promise((resolve) => server.close(resolve));
  return url;
}

function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, code: ProblemCode, members: object = {}): void {
  const { status, title, retry } = PROBLEMS[code];
  json(response, { type: `urn:borough:problem:${code}`, title, status, code, retry, ...members }, status);
}

function event(response: ServerResponse, move: MoveView): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
  const name = move.state === 'ended' ? 'ended' : 'progress';
  response.write(`event: ${name}\nid: ${move.version}\ndata: ${JSON.stringify(move)}\n\n`);
}

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

describe('a call', () => {
  it('passes over coordinators that are dead or do not lead, with the same key and the same body', async () => {
    const seen: { key: unknown; body: string }[] = [];
    const follower = await coordinator((request, response) => {
      seen.push({ key: request.headers['idempotency-key'], body: request.body });
      problem(response, 'not-leader');
    });
    const leader = await coordinator((request, response) => {
      seen.push({ key: request.headers['idempotency-key'], body: request.body });
      json(response, moveAt(1), 202);
    });
    const ops = new OpsClient({ coordinatorUrls: [await deadCoordinator(), follower.url, leader.url] });

    expect(await ops.beginMove(ASKED)).toEqual(moveAt(1));

    expect(seen).toHaveLength(2);
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]?.key).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ ...ASKED, dryRun: false });
    expect(ops.answeredBy).toBe(leader.url);
  });

  it('keeps its key when the connection breaks after the request was sent, and takes a new one for the next call', async () => {
    const keys: unknown[] = [];
    const { url } = await coordinator((request, response) => {
      keys.push(request.headers['idempotency-key']);
      if (keys.length === 1) request.socket.destroy();
      else json(response, moveAt(1), 202);
    });
    const ops = new OpsClient({ coordinatorUrls: [url] });

    await ops.beginMove(ASKED);
    await ops.beginMove(ASKED);

    expect(keys).toHaveLength(3);
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
  });

  it('asks the one that answered last first', async () => {
    let asked = 0;
    const follower = await coordinator((_, response) => {
      asked += 1;
      problem(response, 'not-leader');
    });
    const leader = await coordinator((_, response) => {
      json(response, PLAN);
    });
    const ops = new OpsClient({ coordinatorUrls: [follower.url, leader.url] });

    for (let call = 0; call < 3; call += 1) expect(await ops.planMove(ASKED)).toEqual(PLAN);

    expect(asked).toBe(1);
  });

  it('waits for a leader to be chosen', async () => {
    let calls = 0;
    const { url } = await coordinator((_, response) => {
      calls += 1;
      if (calls < 4) problem(response, 'not-leader');
      else json(response, PLAN);
    });

    expect(await new OpsClient({ coordinatorUrls: [url] }).planMove(ASKED)).toEqual(PLAN);
    expect(calls).toBe(4);
  });

  it('asks the next coordinator when one is frozen', async () => {
    const frozen = await coordinator(() => undefined);
    const alive = await coordinator((_, response) => {
      json(response, ROUTING);
    });
    const ops = new OpsClient({ coordinatorUrls: [frozen.url, alive.url], tryMs: 100 });

    expect(await ops.getRouting()).toEqual(ROUTING);
  });

  it('gives a refusal that will stay to the caller at once, with its facts', async () => {
    let calls = 0;
    const { url } = await coordinator((_, response) => {
      calls += 1;
      problem(response, 'shard-in-move', { detail: 'Shard 3 moves.', moveId: MOVE_ID });
    });
    const refusal = await new OpsClient({ coordinatorUrls: [url] }).beginMove(ASKED).catch((error: unknown) => error);

    expect(refusal).toBeInstanceOf(OpsRefused);
    expect(refusal).toMatchObject({ coordinator: url, problem: { code: 'shard-in-move', moveId: MOVE_ID } });
    expect(calls).toBe(1);
  });

  it('ends at the deadline, saying what each coordinator did', async () => {
    const dead = await deadCoordinator();
    const { url } = await coordinator((_, response) => {
      problem(response, 'no-majority', { detail: 'Only a answers.' });
    });
    const ops = new OpsClient({ coordinatorUrls: [dead, url], deadlineMs: 300 });
    const fault = await ops.getZones().catch((error: unknown) => error);

    expect(fault).toBeInstanceOf(NoCoordinator);
    expect(fault).toMatchObject({ mayHaveHappened: false, deadlineMs: 300 });
    expect((fault as NoCoordinator).failedTries).toMatchObject([
      { coordinator: dead, what: expect.stringContaining('ECONNREFUSED') as string },
      {
        coordinator: url,
        what: expect.stringContaining('Only a answers.') as string,
        problem: { code: 'no-majority' },
      },
    ]);
  });

  it.each<[string, Handler, boolean]>([
    ['the connection broke after it was sent', (request) => void request.socket.destroy(), true],
    [
      'the outcome is not known there',
      (_, response) => {
        problem(response, 'outcome-unknown');
      },
      true,
    ],
    [
      'none leads',
      (_, response) => {
        // Asks for a longer wait than there is time left, so that no later try is cut off in its middle.
        response.setHeader('retry-after', '60');
        problem(response, 'not-leader');
      },
      false,
    ],
  ])('tells whether a change may have happened: %s', async (_, handler, mayHaveHappened) => {
    const { url } = await coordinator(handler);
    const ops = new OpsClient({ coordinatorUrls: [url], deadlineMs: 200 });

    await expect(ops.beginMove(ASKED)).rejects.toMatchObject({ name: 'NoCoordinator', mayHaveHappened });
  });

  it('waits as long as the coordinator asks for', async () => {
    let calls = 0;
    const { url } = await coordinator((_, response) => {
      calls += 1;
      response.setHeader('retry-after', '60');
      problem(response, 'no-majority');
    });
    const ops = new OpsClient({ coordinatorUrls: [url], deadlineMs: 600 });

    await expect(ops.getRouting()).rejects.toBeInstanceOf(NoCoordinator);
    // Without the header it would have asked three times or more.
    expect(calls).toBe(1);
  });

  it('does not take an answer that is not in the contract', async () => {
    const { url } = await coordinator((_, response) => {
      json(response, { tableVersion: 'nine' });
    });
    const page = await coordinator((_, response) => response.writeHead(404).end('<html>'));

    await expect(new OpsClient({ coordinatorUrls: [url] }).getRouting()).rejects.toBeInstanceOf(AnswerNotUnderstood);
    await expect(new OpsClient({ coordinatorUrls: [page.url] }).getRouting()).rejects.toBeInstanceOf(
      AnswerNotUnderstood,
    );
  });

  it('reaches a coordinator below a path, and sends its query', async () => {
    const { url } = await coordinator((request, response) => {
      json(response, request.url === '/coord/ops/v1/moves?limit=2' ? { moves: [] } : 'elsewhere');
    });

    expect(await new OpsClient({ coordinatorUrls: [`${url}/coord/`] }).listMoves({ limit: 2 })).toEqual({ moves: [] });
  });

  it('ends with its signal’s reason', async () => {
    const { url } = await coordinator(() => undefined);
    const stop = new AbortController();
    const asked = new OpsClient({ coordinatorUrls: [url] }).getZones({ signal: stop.signal });
    stop.abort(new Error('enough'));

    await expect(asked).rejects.toThrow('enough');
  });
});

describe('a watch', () => {
  async function watched(ops: OpsClient, onLost?: (url: string, why: string) => void): Promise<number[]> {
    const versions: number[] = [];
    for await (const view of ops.watchMove(MOVE_ID, { onLost })) versions.push(view.version);
    return versions;
  }

  it('gives each newer view once, whatever is repeated or late, and ends with the move', async () => {
    const { url } = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') !== true) {
        json(response, moveAt(2));
        return;
      }
      for (const version of [2, 3, 3, 2, 5]) event(response, moveAt(version));
      event(response, moveAt(6, 'ended'));
    });

    expect(await watched(new OpsClient({ coordinatorUrls: [url] }))).toEqual([2, 3, 5, 6]);
  });

  it('needs no stream of a move that has ended', async () => {
    const { url } = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') === true) response.writeHead(500).end();
      else json(response, moveAt(7, 'ended'));
    });

    expect(await watched(new OpsClient({ coordinatorUrls: [url] }))).toEqual([7]);
  });

  it('goes on at another coordinator when one dies in the middle of it', async () => {
    let truth = moveAt(1);
    const first = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') !== true) {
        json(response, truth);
        return;
      }
      event(response, moveAt(2));
      truth = moveAt(3);
      setImmediate(() => {
        first.server.close();
        first.server.closeAllConnections();
      });
    });
    const second = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') === true) event(response, moveAt(4, 'ended'));
      else json(response, truth);
    });
    const lost: string[] = [];
    const versions = await watched(new OpsClient({ coordinatorUrls: [first.url, second.url] }), (url) =>
      lost.push(url),
    );

    expect(versions.at(-1)).toBe(4);
    expect(versions).toContain(3);
    expect(versions).toEqual([...versions].sort((a, b) => a - b));
    expect(lost).toEqual([first.url]);
  });

  it('leaves a coordinator that fell silent', async () => {
    const silent = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') === true) event(response, moveAt(1));
      else json(response, moveAt(1));
    });
    const alive = await coordinator((_, response) => {
      json(response, moveAt(2, 'ended'));
    });
    const ops = new OpsClient({ coordinatorUrls: [silent.url, alive.url], silentMaxMs: 100 });

    expect(await watched(ops)).toEqual([1, 2]);
  });

  it('takes an event that comes in pieces', async () => {
    const text = `event: ended\ndata: ${JSON.stringify({ ...moveAt(2, 'ended'), why: 'für später' })}\n\n`;
    const { url } = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') !== true) {
        json(response, moveAt(1));
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      void (async () => {
        for (const byte of Buffer.from(text)) {
          if (!response.write(Buffer.from([byte]))) await sleep(1);
          if (byte > 127) await sleep(5);
        }
      })();
    });
    const ops = new OpsClient({ coordinatorUrls: [url] });
    const reasons: string[] = [];
    for await (const { why } of ops.watchMove(MOVE_ID)) reasons.push(why);

    expect(reasons).toEqual(['test', 'für später']);
  });

  it('fails when no coordinator answers for the deadline', async () => {
    const { url, server } = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') === true) {
        server.close();
        server.closeAllConnections();
      } else json(response, moveAt(1));
    });
    const ops = new OpsClient({ coordinatorUrls: [url], deadlineMs: 300 });

    await expect(watched(ops)).rejects.toBeInstanceOf(NoCoordinator);
  });

  it('closes its connection when nobody wants more', async () => {
    let isOpen = false;
    const { url } = await coordinator((request, response) => {
      if (request.url?.endsWith('/events') !== true) {
        json(response, moveAt(1));
        return;
      }
      isOpen = true;
      response.once('close', () => (isOpen = false));
      event(response, moveAt(2));
    });
    for await (const { version } of new OpsClient({ coordinatorUrls: [url] }).watchMove(MOVE_ID)) {
      if (version === 2) break;
    }

    await expect.poll(() => isOpen).toBe(false);
  });
});
