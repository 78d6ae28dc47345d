import { describe, expect, it } from 'vitest';
import { judgeMember, type MemberReport, NEVER_SEEN, watchMember } from './in-sync-rule.js';

const SILENCE_MS = 1_000;
const well: MemberReport = { isStreaming: true, behindBytes: 0, flushedAt: 100 };
const stuck: MemberReport = { isStreaming: true, behindBytes: 50, flushedAt: 100 };

describe('a member of the in-sync set', () => {
  it('is kept while it confirms what commits wait for', () => {
    let watch = watchMember(NEVER_SEEN, stuck, true, 0);
    for (let ms = 100; ms <= 5_000; ms += 100) {
      watch = watchMember(watch, { ...stuck, flushedAt: 100 + ms }, true, ms);
      expect(judgeMember(true, watch, stuck, true, ms, SILENCE_MS)).toBe('keep');
    }
  });

  it('is kept when it confirms nothing because nobody writes', () => {
    let watch = watchMember(NEVER_SEEN, well, false, 0);
    watch = watchMember(watch, well, false, 60_000);
    expect(judgeMember(true, watch, well, true, 60_000, SILENCE_MS)).toBe('keep');
  });

  it('is dropped after it held up commits for the whole bound, and not before', () => {
    const first = watchMember({ flushedAt: 100, silentSinceMs: undefined }, stuck, true, 0);
    const before = watchMember(first, stuck, true, SILENCE_MS - 1);
    expect(judgeMember(true, before, stuck, true, SILENCE_MS - 1, SILENCE_MS)).toBe('keep');
    const after = watchMember(before, stuck, true, SILENCE_MS);
    expect(judgeMember(true, after, stuck, true, SILENCE_MS, SILENCE_MS)).toBe('drop');
  });

  it('is dropped when it has been away for the bound, even while nobody writes', () => {
    const gone = watchMember(watchMember(NEVER_SEEN, well, false, 0), undefined, false, 100);
    const later = watchMember(gone, undefined, false, 100 + SILENCE_MS);
    expect(judgeMember(true, later, undefined, true, 100 + SILENCE_MS, SILENCE_MS)).toBe('drop');
  });

  it('starts its bound anew after it was heard of again', () => {
    const gone = watchMember(watchMember(NEVER_SEEN, well, false, 0), undefined, true, 100);
    const back = watchMember(gone, { ...well, flushedAt: 200 }, true, 900);
    expect(back.silentSinceMs).toBeUndefined();
  });
});

describe('a zone outside the in-sync set', () => {
  it('is taken back once it streams, has caught up and replicates every table', () => {
    expect(judgeMember(false, NEVER_SEEN, well, true, 0, SILENCE_MS)).toBe('take-back');
  });

  it('stays out while it lags, so that no commit waits for its backlog', () => {
    const lagging: MemberReport = { ...well, behindBytes: 100_000_000 };
    expect(judgeMember(false, NEVER_SEEN, lagging, true, 0, SILENCE_MS)).toBe('leave-out');
  });

  it('stays out while a table of ours does not reach it', () => {
    expect(judgeMember(false, NEVER_SEEN, well, false, 0, SILENCE_MS)).toBe('leave-out');
  });

  it('stays out while it does not stream', () => {
    expect(judgeMember(false, NEVER_SEEN, undefined, true, 0, SILENCE_MS)).toBe('leave-out');
    expect(judgeMember(false, NEVER_SEEN, { ...well, isStreaming: false }, true, 0, SILENCE_MS)).toBe('leave-out');
  });
});
