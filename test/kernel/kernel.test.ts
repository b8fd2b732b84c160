import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/**
 * Runs the suites `*.inside.ts` with their own vitest in a network namespace of their own: they may do there what they
 * like. Needs root, and iproute2.
 */
const namespace = `kt${process.pid}k`;
const root = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('the kernel layer, in a network namespace (needs root)', () => {
  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', namespace]);
    execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  });
  afterAll(() => {
    execFileSync('ip', ['netns', 'del', namespace]);
  });

  test('every suite passes', { timeout: 120_000 }, () => {
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/kernel/vitest.config.ts'];
    const run = spawnSync('ip', ['netns', 'exec', namespace, process.execPath, ...vitest], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, KOI_TEST_NAMESPACE: namespace, NO_COLOR: '1' },
      timeout: 110_000,
    });
    expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
    expect(run.stdout).toMatch(/Tests\s+\d+ passed/);
  });
});
