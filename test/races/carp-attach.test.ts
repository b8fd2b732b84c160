import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/**
 * A virtual IP that becomes visible before its virtual MAC is attached, answers with another (FreeBSD PR 191832). The
 * suites `carp-*.inside.ts` run with their own vitest in a host's network namespace; the switch has one too. Needs root,
 * and iproute2. KOI_RACES=all runs them at full length, KOI_RACES_SUITE=carp-quiet,carp-crash some of them.
 */
const host = `kt${process.pid}r`;
const lanSwitch = `${host}s`;
const root = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;
const timeoutMs = process.env.KOI_RACES === 'all' ? 3_000_000 : 180_000;

const ip = (command: string) => execFileSync('ip', command.split(' '));

describe.skipIf(!isRoot)('races of the attach, in a network namespace (needs root)', () => {
  beforeAll(() => {
    for (const namespace of [host, lanSwitch]) {
      ip(`netns add ${namespace}`);
      ip(`-n ${namespace} link set lo up`);
    }
  });
  afterAll(() => {
    for (const namespace of [host, lanSwitch]) ip(`netns del ${namespace}`);
  });

  test('every suite passes', { timeout: timeoutMs }, () => {
    const suites = process.env.KOI_RACES_SUITE?.split(',') ?? [];
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/races/vitest.config.ts', ...suites];
    const run = spawnSync('ip', ['netns', 'exec', host, process.execPath, ...vitest], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, KOI_TEST_NAMESPACE: host, KOI_TEST_SWITCH: lanSwitch, NO_COLOR: '1' },
      timeout: timeoutMs - 10_000,
    });
    expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
    expect(run.stdout).toMatch(/Tests\s+\d+ passed/);
    for (const [figure] of run.stdout.matchAll(/^figure: .*$/gm)) process.stdout.write(`${figure}\n`);
  });
});
