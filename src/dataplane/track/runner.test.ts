import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { FileTrack, ProcessTrack, RouteTrack, ScriptTrack } from '../../config/config.js';
import { runCommand } from './command.js';
import { watchFile } from './file-tracker.js';
import { watchProcess } from './process-tracker.js';
import { watchRoute } from './route-tracker.js';
import { Runner } from './runner.js';
import { RunnerLink } from './runner-link.js';
import type { FromRunner } from './runner-protocol.js';
import { watchScript } from './script-tracker.js';
import type { OnReading, Reading, Watching } from './watching.js';

const isRoot = process.getuid?.() === 0;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const runner = [process.execPath, '--import', 'tsx', join(root, 'src/dataplane/track/runner-main.ts')];

let folder = '';
const watchings: { stop(): void }[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-track-'));
  chmodSync(folder, 0o755);
});
afterEach(() => {
  for (const watching of watchings.splice(0)) watching.stop();
});
afterAll(() => rmSync(folder, { recursive: true }));

function program(name: string, body: string): string {
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}

const order = (command: readonly string[], timeoutMs = 5000) => ({
  command,
  user: undefined,
  timeoutMs,
  environment: {},
});

describe('a command', () => {
  it.each([
    ['exit 0', { kind: 'exited', code: 0 }],
    ['exit 7', { kind: 'exited', code: 7 }],
    ['kill -KILL $$', { kind: 'killed', signal: 'SIGKILL' }],
  ])('that does %s ends so', async (body, outcome) => {
    expect((await runCommand(order([program('c', body)]))).outcome).toEqual(outcome);
  });

  it('that cannot be started says why', async () => {
    const { outcome } = await runCommand(order([join(folder, 'none')]));
    expect(outcome).toMatchObject({ kind: 'not_started', why: expect.stringContaining('ENOENT') });
    expect((await runCommand({ ...order(['/bin/true']), user: 'no-such-user' })).outcome.kind).toBe('not_started');
  });

  it('is killed at its time, with all that it started', async () => {
    const pidFile = join(folder, 'grandchild');
    writeFileSync(pidFile, '');
    chmodSync(pidFile, 0o666);
    const startedMs = performance.now();
    const script = program('slow', `trap '' TERM\n(trap '' TERM; sh -c 'echo $$ > ${pidFile}; exec sleep 60') &\nwait`);
    const { outcome } = await runCommand(order([script], 300));
    expect(outcome).toEqual({ kind: 'timeout', timeoutMs: 300 });
    expect(performance.now() - startedMs).toBeLessThan(2000);
    const pid = readFileSync(pidFile, 'utf8').trim();
    expect(pid).toMatch(/^\d+$/);
    await vi.waitFor(() => expect(isAlive(Number(pid))).toBe(false));
  });

  it('is ended with the runner, long before its time', async () => {
    const told: FromRunner[] = [];
    const ending = new Runner((message) => told.push(message));
    const pidFile = join(folder, 'ending.pid');
    writeFileSync(pidFile, '');
    chmodSync(pidFile, 0o666);
    const command = ['/bin/sh', '-c', `echo $$ > ${pidFile}; exec sleep 600`];
    ending.take({ type: 'run', id: 1, command, timeoutMs: 60_000, environment: {} });
    await vi.waitFor(() => expect(readFileSync(pidFile, 'utf8')).toMatch(/^\d+\n$/), 5000);
    ending.stop();
    await vi.waitFor(() => expect(told).toHaveLength(1), 5000);
    expect(told).toMatchObject([{ type: 'ran', id: 1, outcome: { kind: 'killed', signal: 'SIGKILL' } }]);
  });

  it('does not block on what it writes, and little of it is kept', async () => {
    const { outcome, output } = await runCommand(order([program('loud', 'yes | head -c 3000000')]));
    expect(outcome).toEqual({ kind: 'exited', code: 0 });
    expect(output.length).toBeLessThanOrEqual(1024);
  });

  it('is not waited for by way of what it leaves behind', async () => {
    const startedMs = performance.now();
    expect((await runCommand(order([program('leaves', 'sleep 3 &\nexit 0')]))).outcome).toEqual({
      kind: 'exited',
      code: 0,
    });
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it('gets nothing of the daemon: not its environment, not its open files', async () => {
    process.env.KOI_TEST_SECRET = 'hush';
    const { output } = await runCommand(order([program('env', 'env; ls /proc/self/fd')]));
    delete process.env.KOI_TEST_SECRET;
    expect(output).not.toContain('hush');
    expect(output).toContain('PATH=');
    // Standard input, output, error, and the folder that ls reads; what this test inherited itself has high numbers.
    const low = output.split('\n').filter((line) => /^\d{1,2}$/.test(line));
    expect(low).toEqual(['0', '1', '2', '3']);
  });

  it.skipIf(!isRoot)(
    'of root runs as an unprivileged user without any capability, unless it names another',
    async () => {
      const script = program('who', 'id -un; grep -E "^Cap(Eff|Prm|Inh|Amb)" /proc/self/status');
      const { output } = await runCommand(order([script]));
      expect(output.split('\n')[0]).toMatch(/^(koi|nobody)$/);
      expect(output.match(/0000000000000000/g)).toHaveLength(4);
      expect((await runCommand({ ...order([script]), user: 'root' })).output.split('\n')[0]).toBe('root');
      expect((await runCommand({ ...order([script]), user: 'daemon' })).output.split('\n')[0]).toBe('daemon');
    },
  );
});

const base = { name: 't', weight: -50, reverse: false, intervalMs: 100, rise: 1, fall: 1 };

/** Collects the levels that a tracker tells. */
function follow(begin: (onReading: OnReading) => Watching): Reading[] {
  const readings: Reading[] = [];
  watchings.push(begin((reading) => readings.push(reading)));
  return readings;
}

const levels = (readings: readonly Reading[]) => readings.map(({ level }) => level);

describe('what is watched', () => {
  it('a script, by how it ends; told once for each change', async () => {
    const flag = join(folder, 'flag');
    writeFileSync(flag, '');
    const command = [program('check', `echo looking for the flag\ntest -e ${flag}`)];
    const track: ScriptTrack = { ...base, kind: 'script', command, timeoutMs: 90, fall: 2, user: undefined };
    const readings = follow((onReading) => watchScript(track, onReading));
    await vi.waitFor(() => expect(levels(readings)).toEqual(['up']), 3000);
    rmSync(flag);
    await vi.waitFor(() => expect(levels(readings)).toEqual(['up', 'down']), 3000);
    expect(readings[1]?.detail).toBe('it exited with 1: looking for the flag');
    writeFileSync(flag, '');
    await vi.waitFor(() => expect(levels(readings)).toEqual(['up', 'down', 'up']), 3000);
  });

  it('a file, at once when it is written or replaced; what is no number is 0', async () => {
    const file = join(folder, 'number');
    const track: FileTrack = { ...base, kind: 'file', file, intervalMs: 60_000 };
    const readings = follow((onReading) => watchFile(track, onReading));
    const told = async (level: number) => vi.waitFor(() => expect(readings.at(-1)?.level).toBe(level), 3000);
    await told(0);
    writeFileSync(file, '-7\n');
    await told(-7);
    writeFileSync(`${file}.new`, '12');
    renameSync(`${file}.new`, file);
    await told(12);
    writeFileSync(file, 'many');
    await told(0);
    writeFileSync(file, '3');
    await told(3);
    rmSync(file);
    await told(0);
    expect(readings.at(-1)?.detail).toContain('cannot be read');
  });

  it('a file in a folder that comes later', async () => {
    const file = join(folder, 'later', 'number');
    const readings = follow((onReading) => watchFile({ ...base, kind: 'file', file, intervalMs: 50 }, onReading));
    await vi.waitFor(() => expect(levels(readings)).toEqual([0]), 3000);
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(folder, 'later'));
    writeFileSync(file, '5');
    await vi.waitFor(() => expect(levels(readings)).toEqual([0, 5]), 3000);
  });

  it('processes, by name and number', async () => {
    const { spawn } = await import('node:child_process');
    const { copyFileSync } = await import('node:fs');
    const name = `koi-sleeps-for-${process.pid}`;
    copyFileSync('/bin/sleep', join(folder, name));
    chmodSync(join(folder, name), 0o755);
    const track: ProcessTrack = { ...base, kind: 'process', process: name, quorum: 2 };
    const readings = follow((onReading) => watchProcess(track, onReading));
    await vi.waitFor(() => expect(levels(readings)).toEqual(['down']), 3000);
    const children = [1, 2].map(() => spawn(join(folder, name), ['60']));
    await vi.waitFor(() => expect(levels(readings)).toEqual(['down', 'up']), 3000);
    children[0]?.kill('SIGKILL');
    await vi.waitFor(() => expect(levels(readings)).toEqual(['down', 'up', 'down']), 3000);
    expect(readings.at(-1)?.detail).toBe(`1 of 2 ${name} processes running`);
    children[1]?.kill('SIGKILL');
  });

  it('a route that is not there', async () => {
    const destination = { family: 4, address: '198.51.100.0', prefixLength: 24 } as const;
    const track: RouteTrack = { ...base, kind: 'route', destination, table: 254 };
    const readings = follow((onReading) => watchRoute(track, onReading));
    await vi.waitFor(() => expect(levels(readings)).toEqual(['down']), 3000);
    expect(readings[0]?.detail).toBe('there is no route to 198.51.100.0/24 in table 254');
  });
});

describe('the runner', () => {
  it('watches and runs in a process of its own, is replaced when it dies, and ends with the dataplane', async () => {
    const readings: string[] = [];
    const link = new RunnerLink({
      log: pino({ level: 'silent' }),
      onReading: (track, { level }) => readings.push(`${track} ${level}`),
      program: runner,
    });
    watchings.push({ stop: () => link.close() });
    const ppid = program('ppid', 'echo $PPID; echo $KOI_VR');
    const script = { ...base, kind: 'script', timeoutMs: 90, user: undefined } as const;
    link.watch([
      { ...script, name: 'good', command: ['/bin/true'] },
      { ...script, name: 'bad', command: ['/bin/false'] },
    ]);
    await vi.waitFor(() => expect([...readings].sort()).toEqual(['bad down', 'good up']), 10_000);

    const first = await link.run({ ...order([ppid]), environment: { KOI_VR: 'gw' } });
    const [pid = '', vr] = first.output.split('\n');
    expect(vr).toBe('gw');
    expect(Number(pid)).not.toBe(process.pid);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('koi runner');

    const running = link.run(order(['/bin/sleep', '60'], 60_000));
    process.kill(Number(pid), 'SIGKILL');
    expect((await running).outcome).toEqual({ kind: 'not_started', why: 'the runner ended' });
    await vi.waitFor(() => expect(readings).toHaveLength(4), 10_000);
    const second = (await link.run(order([ppid]))).output.split('\n')[0];
    expect(second).not.toBe(pid);

    link.close();
    await vi.waitFor(() => expect(isAlive(Number(second))).toBe(false), 5000);
  });
});

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}
