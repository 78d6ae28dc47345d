import { describe, expect, it } from 'vitest';
import {
  type Answer,
  healthOf,
  healthText,
  remedyFor,
  type Seen,
  ZONE_HEALTHS,
  type ZoneHealth,
} from './zone-health.js';

const ANSWERS: Answer = { kind: 'answers' };
const REFUSES: Answer = { kind: 'refuses', forMs: 100 };
const SILENT: Answer = { kind: 'silent', forMs: 1_500 };

const WELL: Seen = { database: ANSWERS, api: ANSWERS, unheardForMs: 400, isCountedOn: true, areCommitsWaiting: false };

describe('a zone is seen as', () => {
  it.each<[ZoneHealth, string, Partial<Seen>]>([
    ['healthy', 'when everybody answers', {}],
    ['healthy', 'when no address of its API is known', { api: undefined }],
    ['healthy', 'while commits wait for a moment', { areCommitsWaiting: true }],
    [
      'healthy',
      'in the first moment of a refusal',
      { database: { kind: 'refuses', forMs: 30 }, unheardForMs: Infinity },
    ],
    ['healthy', 'in the first moment of silence', { database: { kind: 'silent', forMs: 500 }, unheardForMs: 1_400 }],
    ['api-down', 'when its API refuses', { api: { kind: 'refuses', forMs: 300 } }],
    ['healthy', 'when its API restarts', { api: { kind: 'refuses', forMs: 100 } }],
    ['api-silent', 'when its API is frozen', { api: SILENT }],
    [
      'healthy',
      'when its API is silent and its database refuses since a moment ago',
      { database: { kind: 'refuses', forMs: 5 }, api: SILENT },
    ],
    [
      'database-down',
      'when its database refuses and nobody is connected',
      { database: REFUSES, unheardForMs: Infinity },
    ],
    ['cut-off', 'when only we are refused', { database: REFUSES }],
    ['database-silent', 'when its database is frozen', { database: SILENT, unheardForMs: 1_400 }],
    ['cut-off', 'when only we hear nothing', { database: SILENT }],
    [
      'database-silent',
      'when it speaks, hears nothing, and nobody waits for it',
      { database: SILENT, isCountedOn: false },
    ],
    ['cut-off', 'when only we are refused, and nobody waits for it', { database: REFUSES, isCountedOn: false }],
    ['healthy', 'when nobody waits for it', { isCountedOn: false }],
    ['replication-cut', 'when it answers us and reaches nobody', { unheardForMs: 1_400 }],
    ['isolated', 'when its writes wait as well', { unheardForMs: 1_400, areCommitsWaiting: true }],
    ['database-down', 'whatever its API says', { database: REFUSES, api: SILENT, unheardForMs: Infinity }],
  ])('%s %s', (health, _when, change) => {
    expect(healthOf({ ...WELL, ...change })).toBe(health);
  });
});

it('is left where nobody else can hear it, or nobody serves its clients; never for what only we see', () => {
  const left = ZONE_HEALTHS.filter((health) => remedyFor(health) === 'failover');
  expect(left).toEqual(['api-down', 'api-silent', 'isolated', 'database-down', 'database-silent']);
});

it('is told in words, unlike for each', () => {
  expect(new Set(ZONE_HEALTHS.map(healthText)).size).toBe(ZONE_HEALTHS.length);
});
