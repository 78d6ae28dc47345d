import { describe, expect, it } from 'vitest';
import { type InSyncRecord } from './in-sync-record.js';
import { InSyncRegister, InSyncRegisterFault, type InSyncVoter } from './in-sync-register.js';

/** What a voter's database does (0005-in-sync.sql), with a network that may be slow or away. */
class Copy {
  promised = 0;
  ballot = 0;
  record: InSyncRecord = { zone: 'a', members: [], version: 0, frozenBy: [] };
  isAway = false;

  constructor(readonly zoneId: string) {}

  voter(pause: () => Promise<void>): InSyncVoter {
    return {
      zoneId: this.zoneId,
      promise: async (_zone, ballot) => {
        await this.reach(pause);
        const isGranted = ballot > this.promised;
        if (isGranted) this.promised = ballot;
        return {
          isGranted,
          promised: this.promised,
          copy: { voter: this.zoneId, ballot: this.ballot, record: this.record },
        };
      },
      accept: async (_zone, ballot, record) => {
        await this.reach(pause);
        if (ballot < this.promised) return false;
        Object.assign(this, { promised: ballot, ballot, record });
        return true;
      },
    };
  }

  private async reach(pause: () => Promise<void>): Promise<void> {
    await pause();
    if (this.isAway) throw new Error('away');
  }
}

const copies = (): Copy[] => ['a', 'b', 'c'].map((zone) => new Copy(zone));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const some = async (): Promise<void> => {
  for (let at = Math.floor(Math.random() * 4); at >= 0; at -= 1) await turn();
};
const registerOf = (voters: readonly Copy[], pause = turn): InSyncRegister =>
  new InSyncRegister(
    voters.map((copy) => copy.voter(pause)),
    some,
  );

describe('the in-sync register', () => {
  it('reads a record that was never written as that of a zone that waits for nobody', async () => {
    expect(await registerOf(copies()).read('a')).toEqual({ zone: 'a', members: [], version: 0, frozenBy: [] });
  });

  it('changes it on a majority, whoever asks next', async () => {
    const voters = copies();
    const added = await registerOf(voters).change('a', { kind: 'add', member: 'b' });
    expect(added).toMatchObject({ isChanged: true, record: { members: ['b'], version: 1 } });
    expect(await registerOf(voters).read('a')).toMatchObject({ members: ['b'], version: 1 });
  });

  it('says that nothing has changed where a change does not apply, and what stands', async () => {
    const register = registerOf(copies());
    await register.change('a', { kind: 'freeze', by: 'mov_1' });
    const refused = await register.change('a', { kind: 'add', member: 'b' });
    expect(refused).toMatchObject({ isChanged: false, record: { members: [], frozenBy: ['mov_1'] } });
    expect((await register.change('a', { kind: 'thaw', by: 'mov_1' }, 0)).isChanged).toBe(false);
  });

  it('works with one voter away, and knows nothing with two', async () => {
    const voters = copies();
    const register = registerOf(voters);
    Object.assign(voters[2] ?? {}, { isAway: true });
    await register.change('a', { kind: 'add', member: 'b' });
    Object.assign(voters[1] ?? {}, { isAway: true });
    await expect(register.read('a')).rejects.toBeInstanceOf(InSyncRegisterFault);
  });

  it('finishes what only one voter holds, when that one is heard', async () => {
    const voters = copies();
    const [a, , c] = voters;
    Object.assign(c ?? {}, { isAway: true });
    await a?.voter(turn).accept('a', 7, { zone: 'a', members: ['b'], version: 1, frozenBy: [] });
    expect(await registerOf(voters).read('a')).toMatchObject({ members: ['b'] });
    expect(voters.filter(({ record }) => record.version === 1).length).toBeGreaterThanOrEqual(2);
  });

  it('loses no change of two that ask at once, and makes none twice', async () => {
    for (let round = 0; round < 50; round += 1) {
      const voters = copies();
      const [agent, coordinator] = [registerOf(voters, some), registerOf(voters, some)];
      const outcomes = await Promise.all([
        agent.change('a', { kind: 'add', member: 'b' }),
        coordinator.change('a', { kind: 'freeze', by: 'mov_1' }),
        agent.change('a', { kind: 'add', member: 'c' }),
      ]);
      const record = await registerOf(voters).read('a');
      expect(record.frozenBy).toEqual(['mov_1']);
      expect(outcomes.filter(({ isChanged }) => isChanged).length).toBeLessThanOrEqual(record.version);
      expect(record.members).toHaveLength(record.version - 1);
    }
  });
});
