import { describe, expect, it, vi } from 'vitest';
import { readOptions, type ReplayOptions } from './options.js';

function optionsOf(...args: string[]): ReplayOptions {
  const reading = readOptions(['node', 'main.js', ...args], '/here');
  if (reading.kind !== 'options') throw new Error(JSON.stringify(reading));
  return reading.options;
}

function faultsOf(...args: string[]): string[] {
  const reading = readOptions(['node', 'main.js', ...args], '/here');
  return reading.kind === 'faults' ? reading.faults : [];
}

describe('options', () => {
  it('have defaults: a made-up day as fast as it goes', () => {
    expect(optionsOf()).toEqual({
      dataDirectory: undefined,
      cities: undefined,
      pace: { kind: 'max' },
      concurrency: 128,
      limit: undefined,
      seed: 1,
      jsonFile: undefined,
    });
  });

  it('are all read, paths from where the person is', () => {
    expect(
      optionsOf(
        '--data',
        '../days',
        '--cities',
        'a, b,a',
        '--speed',
        '60',
        '--json=out.json',
        '--limit',
        '5',
        '--seed',
        '0',
      ),
    ).toEqual({
      dataDirectory: '/days',
      cities: ['a', 'b'],
      pace: { kind: 'scaled', speed: 60 },
      concurrency: 1024,
      limit: 5,
      seed: 0,
      jsonFile: '/here/out.json',
    });
    expect(optionsOf('--speed', 'max', '--concurrency', '8')).toMatchObject({ pace: { kind: 'max' }, concurrency: 8 });
    expect(optionsOf('--speed', '0.5').pace).toEqual({ kind: 'scaled', speed: 0.5 });
  });

  it.each([
    [['--speed', 'fast'], '--speed fast: needs a number from 0.1 to 1000000'],
    [['--speed', '0'], '--speed 0: needs a number'],
    [['--speed=-1'], '--speed -1: needs a number'],
    [['--concurrency', '0'], '--concurrency 0: needs a whole number from 1 to 4096'],
    [['--concurrency', '1.5'], '--concurrency 1.5: needs a whole number'],
    [['--limit', '0'], '--limit 0: needs a whole number'],
    [['--seed', 'x'], '--seed x: needs a whole number'],
    [['--data', 'd', '--cities', 'a,,b'], '--cities a,,b: an empty name'],
    [['--cities', 'a'], '--cities needs --data'],
    [['--data'], 'value is missing'],
    [['--sped', '5'], 'Unknown option'],
    [['--limit', '1', '--limit', '2'], '--limit may be given once'],
    [['somewhere'], 'unexpected somewhere'],
  ])('%j are refused', (args, fault) => {
    expect(faultsOf(...args).join('\n')).toContain(fault);
  });

  it('tell every fault at once', () => {
    expect(faultsOf('--limit', '0', '--seed', 'x').length).toBe(2);
  });

  it('show help when asked', () => {
    const shown = vi.spyOn(console, 'info').mockImplementation(() => undefined);
    expect(readOptions(['node', 'main.js', '--help'], '/here')).toEqual({ kind: 'help' });
    expect(shown.mock.calls.flat().join('\n')).toContain('--speed');
    shown.mockRestore();
  });
});
