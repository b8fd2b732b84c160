import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KoiConfig, VirtualRouterConfig } from './config.js';
import { parseConfig } from './load.js';
import { holdBack, keyFingerprint, readSharedKey, sharedConfiguration } from './shared-configuration.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-shared-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const secret = (text: string): string => {
  const file = join(folder, 'secret');
  writeFileSync(file, text);
  return file;
};

function config(...routers: readonly string[]): KoiConfig {
  const text = `cluster: edge\nnode: r1\nlog: {servers: [nats://n:4222]}\nvirtualRouters: [${routers.join(', ')}]`;
  const parsed = parseConfig(text, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config;
}

function router(rest: string): VirtualRouterConfig {
  const [first] = config(`{name: gw, interface: eth1, id: 51, ${rest}}`).virtualRouters;
  if (first === undefined) throw new Error('no router');
  return first;
}

const digest = (rest: string, key = ''): string => sharedConfiguration(router(rest), key).digest;

describe('what the nodes of a virtual router have in common', () => {
  it('is the same whatever is each node’s own affair', () => {
    const plain = digest('addresses: [10.0.0.1/24, 10.0.0.2/24]');
    for (const own of ['priority: 50', 'advertInterval: 100ms', 'preempt: {enabled: false}', 'arbitration: wire']) {
      expect(digest(`addresses: [10.0.0.2/24, 10.0.0.1/32], ${own}`)).toBe(plain);
    }
  });

  it('is another with another protocol, id, address, form or key', () => {
    const all = [
      digest('addresses: [10.0.0.1/24]'),
      digest('addresses: [10.0.0.1/24, 10.0.0.2/24]'),
      digest('addresses: [10.0.0.1/24], checksum: rfc9568'),
      digest('addresses: [10.0.0.1/24], protocol: vrrp2'),
      digest('addresses: [10.0.0.1/24], protocol: vrrp2, advertInterval: 2s'),
      digest('addresses: [10.0.0.1/24], protocol: carp'),
      digest('addresses: [10.0.0.1/24], protocol: carp', 'k1'),
      digest('addresses: [10.0.0.1/24], protocol: carp', 'k2'),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('has as its key what the protocol makes of the secret', () => {
    const carp = router(`addresses: [10.0.0.1/24], protocol: carp, carp: {passwordFile: ${secret('x'.repeat(25))}}`);
    expect(readSharedKey(carp)).toHaveLength(19);
    const pass = `{auth: {type: pass, passwordFile: ${secret('eightmax')}}}`;
    expect(readSharedKey(router(`addresses: [10.0.0.1/24], protocol: vrrp2, vrrp2: ${pass}`))).toHaveLength(8);
    expect(readSharedKey(router('addresses: [10.0.0.1/24]'))).toBeUndefined();
  });

  it('shows of a key whether it is the same, in one cluster, and no more', async () => {
    const [one, two] = [Buffer.from('secret'), Buffer.from('secreu')];
    const print = await keyFingerprint('edge', one);
    expect(print).toMatch(/^[0-9a-f]{16}$/);
    expect(await keyFingerprint('edge', Buffer.from('secret'))).toBe(print);
    expect(await keyFingerprint('edge', two)).not.toBe(print);
    expect(await keyFingerprint('other', one)).not.toBe(print);
  });
});

describe('a configuration that waits in part', () => {
  it('keeps what waits as it is, and takes the rest', () => {
    const vr = (name: string, id: number, priority: number): string =>
      `{name: ${name}, interface: eth1, id: ${id}, priority: ${priority}, addresses: [10.0.0.${id}/24]}`;
    const before = config(vr('a', 1, 100), vr('b', 2, 100));
    const after = config(vr('a', 1, 150), vr('b', 2, 150), vr('c', 3, 150));
    const held = holdBack(after, before, ['b']);
    expect(held.virtualRouters.map((each) => 'priority' in each && `${each.name} ${each.priority}`)).toEqual([
      'a 150',
      'b 100',
      'c 150',
    ]);
    expect(holdBack(after, before, [])).toBe(after);
  });
});
