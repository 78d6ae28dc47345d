import { describe, expect, it } from 'vitest';
import { inSyncSetting, linkName, membersOfSetting } from './links.js';

describe('the in-sync setting', () => {
  it('waits for all of its members, not for some', () => {
    expect(inSyncSetting(['borough_b_from_a', 'borough_c_from_a'])).toBe(
      'FIRST 2 (borough_b_from_a, borough_c_from_a)',
    );
  });

  it('waits for nobody when it is empty', () => {
    expect(inSyncSetting([])).toBe('');
    expect(membersOfSetting('')).toEqual([]);
  });

  it('is read back as it was written', () => {
    const names = [linkName('b', 'a'), linkName('c-2', 'a')];
    expect(membersOfSetting(inSyncSetting(names))).toEqual(names);
  });
});
