import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { birthOf, childrenOf, commandLineOf, endProcess, parseProcStat, stillRuns } from './os-process.js';

test('a program whose name holds blanks and brackets does not confuse the reading of its state', () => {
  const fields = ['S', '7', ...Array<string>(17).fill('0'), '4242', '0'];
  expect(parseProcStat(`12 (a ) b (c) ${fields.join(' ')}`)).toEqual({ state: 'S', parent: 7, startTicks: '4242' });
});

test('a process is told from a later one with the same pid, and found by its command line', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'a marker'], { stdio: 'ignore' });
  const pid = child.pid ?? 0;
  await once(child, 'spawn');
  try {
    const birth = birthOf(pid) ?? '';
    expect(birth).not.toBe('');
    expect(commandLineOf(pid)).toContain('a marker');
    expect(childrenOf(process.pid)).toContain(pid);
    expect(stillRuns({ pid, birth, marker: 'a marker' })).toBe(true);
    expect(stillRuns({ pid, birth, marker: 'another marker' })).toBe(false);
    expect(stillRuns({ pid, birth: 'earlier', marker: 'a marker' })).toBe(false);
    expect(await endProcess(pid, 'earlier', [{ signal: 'SIGTERM', waitMs: 1000 }])).toBe(true);
    expect(child.exitCode).toBeNull(); // not its birth: left alone
    expect(await endProcess(pid, birth, [{ signal: 'SIGTERM', waitMs: 5000 }])).toBe(true);
    expect(birthOf(pid)).toBeUndefined();
  } finally {
    child.kill('SIGKILL');
  }
});
