import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Supervised, type SupervisorTimings } from './supervisor.js';

/** What the child does: it appends its pid to `started`, then runs the statements. */
const child = (statements: string): string => `
const fs = require('node:fs');
fs.appendFileSync(process.env.KT_STARTED, process.pid + '\\n');
${statements}
`;
const stays = 'process.stdin.resume(); setInterval(() => undefined, 1000);';

const timings: SupervisorTimings = { restartDelaysMs: [10, 60], settledAfterMs: 10_000, stopDeadlineMs: 300 };
let dir: string;
let said: { msg: string; delayMs?: number; how?: string; role: string }[];
let hopeless: number[];
let supervised: Supervised | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'koi-super-'));
  process.env.KT_STARTED = join(dir, 'started');
  writeFileSync(join(dir, 'started'), '');
  [said, hopeless] = [[], []];
});
afterEach(async () => {
  await supervised?.stop();
  supervised = undefined;
  delete process.env.KT_STARTED;
  rmSync(dir, { recursive: true, force: true });
});

function supervise(
  statements: string,
  over: Partial<SupervisorTimings> = {},
  role: 'agent' | 'dataplane' | 'log-server' = 'agent',
): Supervised {
  const script = join(dir, 'child.cjs');
  writeFileSync(script, child(statements));
  const log = pino({}, { write: (line: string) => said.push(JSON.parse(line) as (typeof said)[number]) });
  supervised = new Supervised({
    role,
    arguments: [script],
    log,
    onHopeless: (code) => hopeless.push(code),
    timings: { ...timings, ...over },
  });
  return supervised;
}

const started = (): number[] =>
  readFileSync(join(dir, 'started'), 'utf8').trim().split('\n').filter(Boolean).map(Number);
const startsAre = (count: number): Promise<void> =>
  vi.waitFor(() => expect(started().length).toBeGreaterThanOrEqual(count), { timeout: 10_000 });
const runs = (pid: number | undefined): boolean => {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('a supervised process', () => {
  it('is started again when it is killed, says how it ended, and ends when told', async () => {
    const one = supervise(stays);
    await startsAre(1);
    process.kill(started()[0] ?? 0, 'SIGKILL');
    await startsAre(2);
    expect(said).toMatchObject([
      { role: 'agent', how: 'SIGKILL', delayMs: 10, msg: 'the agent ended; starting it again' },
    ]);
    const pid = started()[1];
    expect(runs(pid)).toBe(true);
    expect(await one.stop()).toBe(false);
    expect(runs(pid)).toBe(false);
    expect([started().length, hopeless]).toEqual([2, []]);
  });

  it('is started again when it ends by itself, even with success, ever later', async () => {
    supervise('process.exit(process.pid % 2);');
    await startsAre(4);
    expect(said.slice(0, 3).map(({ delayMs }) => delayMs)).toEqual([10, 60, 60]);
  });

  it('begins with the first delay again after a life long enough', async () => {
    supervise('setTimeout(() => process.exit(1), 150);', { settledAfterMs: 100 });
    await startsAre(4);
    expect(said.slice(0, 3).map(({ delayMs }) => delayMs)).toEqual([10, 10, 10]);
  });

  it.each([2, 3])('is not started again after exit code %i: it cannot run here', async (code) => {
    supervise(`process.exit(${code});`);
    await vi.waitFor(() => expect(hopeless).toEqual([code]), { timeout: 5000 });
    expect([said, started().length]).toEqual([[], 1]);
  });

  it('is tried again even then, once it has shown that it can run here', async () => {
    supervise(
      `const lives = fs.readFileSync(process.env.KT_STARTED, 'utf8').trim().split('\\n').length;
       if (lives === 1) setTimeout(() => process.exit(1), 150); else process.exit(2);`,
      { settledAfterMs: 100 },
    );
    await startsAre(4);
    expect(hopeless).toEqual([]);
    expect(said[1]).toMatchObject({ how: 'exit code 2' });
  });

  it('knows that it is supervised', async () => {
    const heard = join(dir, 'heard');
    supervise(`fs.writeFileSync(${JSON.stringify(heard)}, String(process.env.KOI_SUPERVISED)); ${stays}`);
    await vi.waitFor(() => expect(readFileSync(heard, 'utf8')).toBe('1'), { timeout: 5000 });
  });

  // Among the processes of one session alone a nice value would count, and beside two busy loops adverts came late.
  it.each([
    ['dataplane', -20],
    ['agent', -10],
    ['log-server', -10],
  ] as const)('comes ahead of others, with a session of its own: the %s', async (role, nice) => {
    supervise(stays, {}, role);
    await startsAre(1);
    const pid = started()[0] ?? 0;
    const [, , , session] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    expect([Number(session), getPriority(pid)]).toEqual([pid, nice]);
    await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/autogroup`, 'utf8')).toMatch(` nice ${nice}\n`));
  });

  it('is killed where it does not end in time, which is said', async () => {
    const one = supervise(
      `process.on('SIGTERM', () => undefined); fs.writeFileSync(process.env.KT_STARTED + '2', ''); ${stays}`,
    );
    await vi.waitFor(() => readFileSync(join(dir, 'started2')), { timeout: 5000 });
    const beforeMs = performance.now();
    await one.stop();
    const tookMs = performance.now() - beforeMs;
    expect(runs(started()[0])).toBe(false);
    expect(tookMs).toBeGreaterThanOrEqual(295);
    expect(said).toMatchObject([{ msg: 'it did not end in time and is killed' }]);
  });

  it('is known to have ended in order where it did', async () => {
    const one = supervise(
      `process.on('SIGTERM', () => process.exit(0)); fs.writeFileSync(process.env.KT_STARTED + '2', ''); ${stays}`,
    );
    await vi.waitFor(() => readFileSync(join(dir, 'started2')), { timeout: 5000 });
    expect(await one.stop()).toBe(true);
  });

  it('is not started again once retired, and need not be there to be stopped', async () => {
    const one = supervise(stays);
    await startsAre(1);
    one.retire();
    const pid = started()[0] ?? 0;
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(runs(pid)).toBe(false));
    await one.stop();
    expect([said, hopeless, started().length]).toEqual([[], [], 1]);
  });

  it('may be stopped while it waits to be started again', async () => {
    const one = supervise('process.exit(1);', { restartDelaysMs: [60_000] });
    await vi.waitFor(() => expect(said).toHaveLength(1), { timeout: 5000 });
    await one.stop();
    expect(started()).toHaveLength(1);
  });
});
