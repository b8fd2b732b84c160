import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/**
 * Runs the suites `*.inside.ts` with their own vitest in a host's network namespace; a switch and a client have theirs.
 * Needs root, and iproute2.
 */
const host = `kt${process.pid}a`;
const [lanSwitch, client] = [`${host}s`, `${host}c`];
const namespaces = [host, lanSwitch, client];
const root = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;

const ip = (command: string) => execFileSync('ip', command.split(' '));

describe.skipIf(!isRoot)('attaching, in a network namespace (needs root)', () => {
  beforeAll(() => {
    for (const namespace of namespaces) {
      ip(`netns add ${namespace}`);
      ip(`-n ${namespace} link set lo up`);
    }
  });
  afterAll(() => {
    for (const namespace of namespaces) ip(`netns del ${namespace}`);
  });

  test('every suite passes', { timeout: 180_000 }, () => {
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/attach/vitest.config.ts'];
    // It has a run of its own.
    vitest.push('--exclude', 'test/attach/faults.inside.ts');
    const run = spawnSync('ip', ['netns', 'exec', host, process.execPath, ...vitest], {
      cwd: root,
      encoding: 'utf8',
      env: {
        ...process.env,
        KOI_TEST_NAMESPACE: host,
        KOI_TEST_SWITCH: lanSwitch,
        KOI_TEST_CLIENT: client,
        NO_COLOR: '1',
      },
      timeout: 170_000,
    });
    expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
    expect(run.stdout).toMatch(/Tests\s+\d+ passed/);
  });
});
