import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KoiConfig } from '../config/config.js';
import { describeDiff, diffConfig } from '../config/diff.js';
import { parseConfig } from '../config/load.js';
import { digestOf, type Reread } from '../config/reread.js';
import { ConfigurationStage, type PreparedRouter } from './configuration-stage.js';
import { createAdapter } from './protocol-adapter.js';

let file = '';
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-stage-'));
  file = join(folder, 'password');
});
afterAll(() => rmSync(folder, { recursive: true }));

function config(...routers: readonly string[]): KoiConfig {
  const text = `cluster: edge\nnode: r1\nlog: {servers: [nats://n:4222]}\nvirtualRouters: [${routers.join(', ')}]`;
  const parsed = parseConfig(text, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config;
}

const carp = (name: string, id: number, ...addresses: number[]): string =>
  `{name: ${name}, interface: eth1, id: ${id}, protocol: carp, carp: {passwordFile: ${file}}, ` +
  `addresses: [${addresses.map((last) => `10.0.0.${last}/24`).join(', ')}]}`;

const read = (before: KoiConfig, after: KoiConfig): Reread => {
  const diff = diffConfig(before, after);
  return { config: after, diff, changes: describeDiff(diff), digest: digestOf(after) };
};

/** A stage, and what runs. */
async function begin(current: KoiConfig) {
  const stage = new ConfigurationStage('edge', (router) => createAdapter(router, { now: () => 0, wallNow: () => 0 }));
  const running = new Map<string, PreparedRouter>(await stage.prepareAll(current.virtualRouters));
  const plan = (after: KoiConfig, guarded?: { vr: string; digests: string[] }[]) =>
    stage.plan(read(current, after), current, (vr) => running.get(vr)?.shared, guarded);
  return { stage, running, plan };
}

describe('what a reload does now, and what waits', () => {
  it('waits with what others run as well, and does the rest', async () => {
    writeFileSync(file, 'secret');
    const current = config(carp('a', 1, 1), carp('b', 2, 2));
    const { stage, plan } = await begin(current);
    const wanted = config(carp('a', 1, 1, 3), carp('b', 2, 2, 4));
    const { read: now, waiting, routers } = await plan(wanted, [{ vr: 'a', digests: [] }]);
    expect(waiting.map(({ config: { name } }) => name)).toEqual(['a']);
    expect([...routers.keys()]).toEqual(['b']);
    expect(now.changes).toEqual(['b: addresses [10.0.0.2/24] → [10.0.0.2/24, 10.0.0.4/24]']);
    expect(now.config.virtualRouters[0]).toEqual(current.virtualRouters[0]);
    stage.keep(waiting);

    const digest = waiting[0]?.shared.digest ?? '';
    expect(stage.release('a', 'other', now.config, diffConfig)).toBeUndefined();
    expect(stage.release('b', digest, now.config, diffConfig)).toBeUndefined();
    const released = stage.release('a', digest, now.config, diffConfig);
    expect(released?.read.changes).toEqual(['a: addresses [10.0.0.1/24] → [10.0.0.1/24, 10.0.0.3/24]']);
    expect(released?.read.digest).toBe(digestOf(wanted));
    expect(released?.waiting).toEqual([]);
  });

  it('does at once what is in force already, or where nobody is asked', async () => {
    writeFileSync(file, 'secret');
    const { plan } = await begin(config(carp('a', 1, 1)));
    const wanted = config(carp('a', 1, 1, 3));
    const inForce = [...(await plan(wanted)).routers.values()][0]?.shared.digest ?? '';
    expect((await plan(wanted, [{ vr: 'a', digests: [inForce] }])).waiting).toEqual([]);
    expect((await plan(wanted, [{ vr: 'a', digests: ['other'] }])).waiting).toHaveLength(1);
    expect((await plan(wanted, [])).waiting).toEqual([]);
  });

  it('never waits with what is each node’s own affair', async () => {
    writeFileSync(file, 'secret');
    const { plan } = await begin(config(carp('a', 1, 1)));
    const wanted = config(carp('a', 1, 1).replace('id: 1', 'id: 1, preempt: {enabled: false}'));
    const { waiting, routers } = await plan(wanted, [{ vr: 'a', digests: [] }]);
    expect(waiting).toEqual([]);
    expect([...routers.keys()]).toEqual(['a']);
  });

  it('sees a key that changed in its file, and reads it once: what waits is what was announced', async () => {
    writeFileSync(file, 'secret');
    const current = config(carp('a', 1, 1), carp('b', 2, 2));
    const { stage, plan } = await begin(current);
    expect((await plan(current)).routers.size).toBe(0);
    writeFileSync(file, 'another');
    const { waiting, read: now } = await plan(current, [
      { vr: 'a', digests: [] },
      { vr: 'b', digests: [] },
    ]);
    expect(waiting).toHaveLength(2);
    expect(now.changes).toEqual([]);
    stage.keep(waiting);
    writeFileSync(file, 'a third');
    const released = stage.release('a', waiting[0]?.shared.digest ?? '', current, diffConfig);
    expect(released?.read.changes).toEqual(['a: key the one before → another']);
    expect(released?.waiting.map(({ config: { name } }) => name)).toEqual(['b']);
    expect((await plan(current)).read.changes).toEqual([
      'a: key the one before → another',
      'b: key the one before → another',
    ]);
  });
});
