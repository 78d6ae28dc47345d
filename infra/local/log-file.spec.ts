import { expect, test } from 'vitest';
import { readableWarning } from './log-file.js';

const line = (level: number, more: object) => JSON.stringify({ level, time: 1, ...more });

test('a warning and worse is shown in one readable line', () => {
  expect(readableWarning('zone-b', line(40, { msg: 'member c dropped' }))).toBe('zone-b  warn  member c dropped');
  expect(readableWarning('router', line(50, { msg: 'no table', err: { message: 'refused' } }))).toBe(
    'router  error  no table: refused',
  );
});

test('a message that is only its error is not said twice', () => {
  expect(readableWarning('zone-a', line(60, { msg: 'boom', err: { message: 'boom' } }))).toBe('zone-a  fatal  boom');
});

test('information, a stack and a number that only looks like a level stay in the log file', () => {
  expect(readableWarning('zone-a', line(30, { msg: 'ready' }))).toBeUndefined();
  expect(readableWarning('zone-a', line(30, { msg: '"level":40' }))).toBeUndefined();
  expect(readableWarning('zone-a', '    at start (main.js:1:1)')).toBeUndefined();
  expect(readableWarning('zone-a', '{"level":50, cut off')).toBeUndefined();
});
