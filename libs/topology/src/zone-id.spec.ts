import { describe, expect, it } from 'vitest';
import { ZONE_ID_PATTERN } from './zone-id.js';

describe('zone names', () => {
  it.each(['a', 'z1', 'north-2', 'abcdefghijklmnop'])('%j names a zone', (text) => {
    expect(ZONE_ID_PATTERN.test(text)).toBe(true);
  });

  it.each(['', '1a', '-a', 'A', 'a_b', 'a.b', 'abcdefghijklmnopq', 'a\n', ' a', 'é'])('%j names none', (text) => {
    expect(ZONE_ID_PATTERN.test(text)).toBe(false);
  });
});
