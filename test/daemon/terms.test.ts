import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { observeFor } from '../lab/wait.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { Host, isRoot } from './host.js';

describe.skipIf(!isRoot)('the terms in the state directory (needs root)', () => {
  let built: BuiltKoi;
  let host: Host;

  beforeAll(() => {
    built = buildKoi();
    host = new Host(built.main);
  }, 120_000);
  afterAll(async () => {
    await host?.endAll();
    host?.remove();
    built?.remove();
  });

  it('are read when the dataplane before has ended: until then it may use higher ones', async () => {
    host.configure({ control: host.file('before.sock'), stateDir: host.file('before') });
    const before = host.koi('dataplane');
    await before.says('"to":"master"');

    const stateDir = host.file('after');
    host.configure({ control: host.file('after.sock'), stateDir });
    const after = host.koi('dataplane');
    // It waits for the other one, which has the run lock; that one takes over, and over, meanwhile.
    await observeFor(1500);
    mkdirSync(stateDir, { recursive: true });
    writeFileSync(join(stateDir, 'terms.json'), JSON.stringify({ format: 1, terms: { gw: 41 } }));
    before.signal('SIGTERM');
    expect((await before.end()).how).toBe(0);

    await after.says('"to":"master"');
    expect(/"to":"master".*?"term":(\d+)/.exec(after.output)?.[1]).toBe('42');
    const { terms } = JSON.parse(readFileSync(join(stateDir, 'terms.json'), 'utf8')) as { terms: { gw: number } };
    expect(terms.gw).toBeGreaterThanOrEqual(42);
  }, 90_000);
});
