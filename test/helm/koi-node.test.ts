import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const koiNode = fileURLToPath(new URL('../../packaging/image/koi-node', import.meta.url));

let folder = '';
let running: ChildProcess | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-node-'));
  for (const name of ['bin', 'config', 'run', 'state']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'config/koi.yaml'), 'cluster: one\n');
  // It says how it was called.
  writeFileSync(join(folder, 'bin/koi'), `#!/bin/sh\necho "$@" >> ${folder}/called\n`);
  chmodSync(join(folder, 'bin/koi'), 0o755);
});

afterEach(() => {
  running?.kill('SIGKILL');
  running = undefined;
  rmSync(folder, { recursive: true });
});

const environment = (node: string): Record<string, string> => ({
  PATH: `${folder}/bin:${process.env.PATH ?? ''}`,
  KOI_NODE: node,
  KOI_CONFIG_DIRECTORY: join(folder, 'config'),
  KOI_RUN_DIRECTORY: join(folder, 'run'),
  KOI_STATE_DIRECTORY: join(folder, 'state'),
  KOI_FOLLOW_SECONDS: '0.05',
  KOI_FOLLOW_ROUNDS: '2',
});
const run = (words: readonly string[], node = 'a') =>
  spawnSync(koiNode, words, { env: environment(node), encoding: 'utf8', timeout: 20_000 });
const called = (): string[] => {
  const file = join(folder, 'called');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
};

it('runs a daemon with the configuration of this node, or the common one', () => {
  writeFileSync(join(folder, 'config/node.a.yaml'), 'cluster: one\n');
  expect(run(['agent']).status).toBe(0);
  expect(run(['dataplane', '--log-level', 'debug'], 'b').status).toBe(0);
  expect(called()).toEqual([
    `agent -c ${folder}/config/node.a.yaml`,
    `dataplane -c ${folder}/config/koi.yaml --log-level debug`,
  ]);
});

it('gives the directories to the group, and nobody else', () => {
  expect(run(['prepare'])).toMatchObject({ status: 0, stderr: '' });
  const { mode, gid } = statSync(join(folder, 'run'));
  expect([mode & 0o7777, gid]).toEqual([0o2770, process.getgid?.()]);
});

it('says what it can do', () => {
  expect(run([])).toMatchObject({ status: 2 });
});

it('reloads when the file changes, a few times over, and ends at once when it is told', async () => {
  running = spawn(koiNode, ['follow'], { env: environment('a'), stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => running?.once('exit', resolve));
  // A change before it has looked at the file for the first time is none.
  let version = 0;
  await vi.waitFor(
    () => {
      if (called().length === 0) writeFileSync(join(folder, 'config/koi.yaml'), `cluster: two # ${version++}\n`);
      expect(called().length).toBeGreaterThanOrEqual(2);
    },
    { timeout: 20_000, interval: 200 },
  );
  expect(called()[0]).toBe(`reload --socket ${folder}/run/koi.sock --timeout 1s`);
  running.kill('SIGTERM');
  expect(await ended).toBe(0);
});
