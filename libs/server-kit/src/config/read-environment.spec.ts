import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError, namedUrlsSetting, portSetting, readEnvironment } from './read-environment.js';

const schema = z.object({
  NAME: z.string().min(1).describe('what this process is called'),
  HTTP_PORT: portSetting.describe('port to listen on'),
  WAIT_MS: z.coerce.number().int().min(100).default(5_000).describe('longest wait, in ms'),
  ZONE_URLS: namedUrlsSetting.describe("every zone's API"),
});

const GOOD = { NAME: 'router', HTTP_PORT: '8080', ZONE_URLS: 'a=http://127.0.0.1:1' };

function faultsOf(environment: Record<string, string | undefined>, settings: z.ZodObject = schema): readonly string[] {
  try {
    readEnvironment(settings, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('a good environment', () => {
  it('is read into typed values with defaults, and the rest of it is left alone', () => {
    const config = readEnvironment(schema, { ...GOOD, PATH: '/bin' });

    expect(config).toEqual({
      NAME: 'router',
      HTTP_PORT: 8080,
      WAIT_MS: 5_000,
      ZONE_URLS: new Map([['a', 'http://127.0.0.1:1']]),
    });
  });

  it('cannot be changed afterwards', () => {
    expect(Object.isFrozen(readEnvironment(schema, GOOD))).toBe(true);
  });
});

describe('a bad environment', () => {
  it('is refused with every fault at once, each with the variable and what it is for', () => {
    const faults = faultsOf({ HTTP_PORT: '70000', WAIT_MS: '50', ZONE_URLS: 'a' });

    expect(faults).toHaveLength(4);
    expect(faults[0]).toBe('NAME is not set (what this process is called)');
    expect(faults[1]).toMatch(/^HTTP_PORT .*\(port to listen on\)$/);
    expect(faults[2]).toMatch(/^WAIT_MS .*100.*\(longest wait, in ms\)$/);
    expect(faults[3]).toMatch(/^ZONE_URLS .*"a" cannot be read \(every zone's API\)$/);
  });

  it('says all faults in the message, one a line', () => {
    expect(() => readEnvironment(schema, {})).toThrow(
      /^The environment cannot be used:\n {2}- NAME is not set .*\n {2}- HTTP_PORT is not set .*\n {2}- ZONE_URLS is not set/,
    );
  });

  it('is told of a rule between variables beside the fault of a variable', () => {
    const crossed = schema.refine((config) => config.ZONE_URLS.size > 0, {
      path: ['ZONE_URLS'],
      message: 'must name at least one zone',
    });

    const faults = faultsOf({ ...GOOD, ZONE_URLS: '' }, crossed);

    expect(faults).toEqual(["ZONE_URLS must name at least one zone (every zone's API)"]);
  });
});

describe('a port', () => {
  it.each(['0', '1', '65535'])('may be %s', (text) => {
    expect(portSetting.parse(text)).toBe(Number(text));
  });

  it.each(['', ' ', '-1', '65536', '80.5', '0x50', '1e3', 'http', '8080 '])('may not be "%s"', (text) => {
    expect(portSetting.safeParse(text).success).toBe(false);
  });
});

describe('a list of named URLs', () => {
  it('keeps the order given, and takes spaces and a comma at the end', () => {
    const urls = namedUrlsSetting.parse(' b=http://h:2/x , a=postgres://u:p@h:5432/db?sslmode=disable ,');

    expect([...urls]).toEqual([
      ['b', 'http://h:2/x'],
      ['a', 'postgres://u:p@h:5432/db?sslmode=disable'],
    ]);
  });

  it('may be empty: a zone may be alone', () => {
    expect(namedUrlsSetting.parse('').size).toBe(0);
  });

  it.each([
    ['a name alone', 'a'],
    ['no URL', 'a='],
    ['something that is no URL', 'a=nowhere'],
    ['no name', '=http://h:1'],
    ['a URL alone', 'http://h:1'],
    ['an upper-case name', 'A=http://h:1'],
    ['a name of 17 letters', `${'a'.repeat(17)}=http://h:1`],
    ['a name twice', 'a=http://h:1,a=http://h:2'],
    ['one good and one bad', 'a=http://h:1,b=//'],
  ])('is refused with %s', (_what, text) => {
    expect(namedUrlsSetting.safeParse(text).success).toBe(false);
  });
});
