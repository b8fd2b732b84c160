import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { putAhead } from './precedence.js';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function started(detached: boolean): Promise<number> {
  const child = spawn('sleep', ['60'], { detached, stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child.pid ?? 0;
}

const autogroup = (pid: number | 'self'): string => readFileSync(`/proc/${pid}/autogroup`, 'utf8');

// As root: a negative value is refused to others.
describe.skipIf(process.getuid?.() !== 0)('a process that is put ahead', () => {
  it('takes its session along where that is its own', async () => {
    const pid = await started(true);
    putAhead(pid, -10);
    expect(getPriority(pid)).toBe(-10);
    expect(autogroup(pid)).toMatch(/ nice -10\n$/);
  });

  it('leaves a session that it shares as it is', async () => {
    const pid = await started(false);
    const before = autogroup('self');
    putAhead(pid, -10);
    expect(getPriority(pid)).toBe(-10);
    expect([autogroup(pid), autogroup('self')]).toEqual([before, before]);
  });

  it('may have ended', async () => {
    const pid = await started(true);
    const [child] = children;
    child?.kill('SIGKILL');
    await once(child as ChildProcess, 'exit');
    expect(() => putAhead(pid, -10)).not.toThrow();
  });
});
