import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/**
 * Runs `faults.inside.ts` with its own vitest in a host's network namespace; a container has another. Needs root, and
 * iproute2. In the short form each call fails once; KOI_RACES=all has each fail in all six ways, and looks at the whole kernel after each.
 */
const host = `kt${process.pid}k`;
const container = `${host}c`;
const root = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;
const timeoutMs = process.env.KOI_RACES === 'all' ? 3_000_000 : 600_000;

const ip = (command: string) => execFileSync('ip', command.split(' '));

describe.skipIf(!isRoot)('every kernel call fails in turn, in a network namespace (needs root)', () => {
  beforeAll(() => {
    for (const namespace of [host, container]) {
      ip(`netns add ${namespace}`);
      ip(`-n ${namespace} link set lo up`);
    }
  });
  afterAll(() => {
    for (const namespace of [host, container]) ip(`netns del ${namespace}`);
  });

  test('nothing is left', { timeout: timeoutMs }, () => {
    const config = ['--config', 'test/attach/vitest.config.ts', 'test/attach/faults.inside.ts'];
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...config];
    const run = spawnSync('ip', ['netns', 'exec', host, process.execPath, ...vitest], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, KOI_TEST_NAMESPACE: host, KOI_TEST_CLIENT: container, NO_COLOR: '1' },
      timeout: timeoutMs - 10_000,
    });
    expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
    expect(run.stdout).toMatch(/Tests\s+\d+ passed/);
    for (const [figure] of run.stdout.matchAll(/^figure: .*$/gm)) process.stdout.write(`${figure}\n`);
  });
});
