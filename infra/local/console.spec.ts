import { expect, test } from 'vitest';
import { consoleReport, faultText } from './console.js';
import { StarterError } from './starter-error.js';

function written(isTTY: boolean) {
  const texts: string[] = [];
  const stream = { isTTY, columns: 40, write: (text: string) => texts.push(text) > 0 };
  return { report: consoleReport(stream), texts };
}

test('a quick step is one line', () => {
  const { report, texts } = written(false);
  report({ state: 'started', step: 'NATS', elapsedMs: 0 });
  report({ state: 'done', step: 'NATS', elapsedMs: 140 });
  expect(texts).toEqual(['✓ NATS  0.1 s\n']);
});

test('in a log, a slow step tells news at once and repeats itself every 5 s', () => {
  const { report, texts } = written(false);
  report({ state: 'started', step: 'NATS', elapsedMs: 0 });
  for (const elapsedMs of [1000, 2000, 3000, 6000, 7000]) {
    report({ state: 'progress', step: 'NATS', elapsedMs, detail: elapsedMs < 3000 ? 'downloading' : 'unpacking' });
  }
  expect(texts).toEqual(['… NATS: downloading (1.0 s)\n', '… NATS: unpacking (3.0 s)\n']);
  report({ state: 'progress', step: 'NATS', elapsedMs: 8000, detail: 'unpacking' });
  expect(texts.at(-1)).toBe('… NATS: unpacking (8.0 s)\n');
});

test('on a terminal, the status line is wiped before anything else is said and never wraps', () => {
  const { report, texts } = written(true);
  report({ state: 'started', step: 'NATS', elapsedMs: 0 });
  report({ state: 'progress', step: 'NATS', elapsedMs: 1000, detail: 'downloading a package with a long name' });
  expect(texts.at(-1)).toHaveLength(39);
  report({ state: 'notice', text: 'zone-a  warn  something' });
  expect(texts.slice(-3, -1)).toEqual(['\r\u001b[K', '  zone-a  warn  something\n']);
});

test('a fault that says what to do is shown without a stack, a bug with it', () => {
  expect(faultText(new StarterError('Do this.'))).toBe('Do this.');
  expect(faultText(new Error('boom'))).toMatch(/boom\n\s+at /);
});
