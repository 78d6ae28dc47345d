import { Problem } from '@borough/server-kit';
import { describe, expect, it } from 'vitest';
import { GroupCommit, type GroupCommitOptions } from './group-commit.js';
import { type Outcome, type PendingWrite } from './pending-write.js';

const OPTIONS: GroupCommitOptions = { batchWrites: 4, batchesPerShard: 1, batches: 10, maxWaiting: 100 };
const SHARD = 5;

describe('a group commit', () => {
  it('writes a lone write at once, and what arrives meanwhile as one batch', async () => {
    const { commit, batches, finish } = controlled();
    const group = new GroupCommit(commit, OPTIONS);
    const answers = ['1', '2', '3'].map((key) => group.submit(SHARD, write(key)));
    expect(keysOf(batches)).toEqual([['1']]);
    await finish(0);
    expect(keysOf(batches)).toEqual([['1'], ['2', '3']]);
    await finish(1);
    expect((await Promise.all(answers)).map(({ body }) => body)).toEqual(['1', '2', '3']);
  });

  it('bounds a batch, and keeps the order of arrival', async () => {
    const { commit, batches, finish } = controlled();
    const group = new GroupCommit(commit, OPTIONS);
    for (const key of '0123456789') void group.submit(SHARD, write(key));
    await finish(0);
    await finish(1);
    await finish(2);
    expect(keysOf(batches)).toEqual([['0'], ['1', '2', '3', '4'], ['5', '6', '7', '8'], ['9']]);
  });

  it('lets no shard wait for another', async () => {
    const { commit, batches } = controlled();
    const group = new GroupCommit(commit, OPTIONS);
    void group.submit(SHARD, write('1'));
    void group.submit(SHARD, write('2'));
    void group.submit(SHARD + 1, write('3'));
    expect(keysOf(batches)).toEqual([['1'], ['3']]);
    await Promise.resolve();
  });

  it('starts no more batches than it may, and gives the next turn to the shard that waited', async () => {
    const { commit, batches, finish } = controlled();
    const group = new GroupCommit(commit, { ...OPTIONS, batches: 1 });
    for (const key of ['1', '2']) void group.submit(SHARD, write(key));
    void group.submit(SHARD + 1, write('3'));
    expect(keysOf(batches)).toEqual([['1']]);
    await finish(0);
    expect(keysOf(batches)).toEqual([['1'], ['3']]);
  });

  it('never has one key in two batches at once: the duplicate waits and finds the first', async () => {
    const { commit, batches, finish } = controlled();
    const group = new GroupCommit(commit, { ...OPTIONS, batchesPerShard: 5 });
    for (const key of ['1', '1', '2']) void group.submit(SHARD, write(key));
    expect(keysOf(batches)).toEqual([['1'], ['2']]);
    await finish(0);
    expect(keysOf(batches)).toEqual([['1'], ['2'], ['1']]);
  });

  it('refuses at once past its bound', async () => {
    const { commit, finish } = controlled();
    const group = new GroupCommit(commit, { ...OPTIONS, maxWaiting: 2 });
    const accepted = ['1', '2', '3'].map((key) => group.submit(SHARD, write(key)));
    expect(() => group.submit(SHARD, write('4'))).toThrow(expect.objectContaining({ code: 'overloaded' }));
    await finish(0);
    await finish(1);
    await Promise.all(accepted);
  });

  it('tells each write its own outcome', async () => {
    const refusal = new Problem('idempotency-key-reused');
    const group = new GroupCommit((_shard, writes) => {
      const outcomes = writes.map((one): Outcome =>
        one.key === 'bad' ? { kind: 'refused', problem: refusal } : answered(one),
      );
      return Promise.resolve(outcomes);
    }, OPTIONS);
    const results = await Promise.allSettled(['good', 'bad', 'fine'].map((key) => group.submit(SHARD, write(key))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('writes the others when one write breaks its batch', async () => {
    const group = new GroupCommit((_shard, writes) => {
      if (writes.some(({ key }) => key === 'broken')) return Promise.reject(new Error('constraint'));
      return Promise.resolve(writes.map(answered));
    }, OPTIONS);
    const keys = ['1', '2', 'broken', '3'];
    const results = await Promise.allSettled(keys.map((key) => group.submit(SHARD, write(key))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  });

  it('refuses a whole batch with the shard, and does not try again', async () => {
    let commits = 0;
    const group = new GroupCommit(() => {
      commits += 1;
      return Promise.reject(new Problem('wrong-zone'));
    }, OPTIONS);
    const results = await Promise.allSettled(['1', '2', '3'].map((key) => group.submit(SHARD, write(key))));
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
    expect(commits).toBe(2);
  });
});

/** A commit that ends when the test says so. */
function controlled(): {
  commit: (shard: number, writes: readonly PendingWrite[]) => Promise<Outcome[]>;
  batches: (readonly PendingWrite[])[];
  finish: (batch: number) => Promise<void>;
} {
  const batches: (readonly PendingWrite[])[] = [];
  const finishes: (() => void)[] = [];
  return {
    commit: (_shard, writes) => {
      batches.push(writes);
      return new Promise((resolve) => {
        finishes.push(() => {
          resolve(writes.map(answered));
        });
      });
    },
    batches,
    finish: async (batch) => {
      finishes[batch]?.();
      // Let the batch settle and the next one begin.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

function keysOf(batches: readonly (readonly PendingWrite[])[]): string[][] {
  return batches.map((batch) => batch.map(({ key }) => key));
}

function answered({ key }: PendingWrite): Outcome {
  return { kind: 'answered', answer: { status: 201, body: key, isReplay: false } };
}

function write(key: string): PendingWrite {
  return {
    kind: 'new-rows',
    route: 'POST /v1/orders',
    caller: 'anonymous',
    key,
    fingerprint: 'f',
    answer: { status: 201, body: key, isReplay: false },
    rows: {},
  };
}
