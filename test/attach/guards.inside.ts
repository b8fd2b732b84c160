import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SegmentGuards } from '../../src/attach/guards.js';
import { KernelMonitor } from '../../src/kernel/monitor.js';
import { type ConfKey, confPath, readSysctl, writeSysctl } from '../../src/kernel/sysctl.js';
import { SysctlRecord } from '../../src/kernel/sysctl-record.js';
import { KoiError } from '../../src/koi-error.js';
import { type Cable, ip, layCable } from '../kernel/cable.js';
import { Host, specOf } from './host.js';

const conf = '/proc/sys/net/ipv4/conf';
const pair = (name: string) =>
  (['arp_ignore', 'arp_announce'] as const).map((key) => readSysctl(confPath(name, key))).join(' ');

/** Every setting of every interface that can be read. */
function allSettings(): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const name of readdirSync(conf)) {
    for (const key of readdirSync(join(conf, name))) {
      try {
        settings[`${name}.${key}`] = readFileSync(join(conf, name, key), 'utf8').trim();
      } catch {
        // Some can only be written.
      }
    }
  }
  return settings;
}

let first: Cable;
let second: Cable;
let directory: string;
let monitor: KernelMonitor;
let guards: SegmentGuards;

const record = () => join(directory, 'sysctl.json');

beforeEach(async () => {
  first = await layCable();
  second = await layCable();
  directory = mkdtempSync(join(tmpdir(), 'koi-guards-'));
  monitor = KernelMonitor.open();
  monitor.start();
  guards = new SegmentGuards(monitor, SysctlRecord.open(record()));
});
afterEach(() => {
  guards.restore();
  for (const key of ['arp_ignore', 'arp_announce'] satisfies ConfKey[]) writeSysctl(confPath('all', key), '0');
  monitor.close();
  first.remove();
  second.remove();
  rmSync(directory, { recursive: true });
});

const refusal = (): string => {
  try {
    return `accepted: ${guards.demand(first.near)}`;
  } catch (error) {
    if (!(error instanceof KoiError)) throw error;
    expect(error.code).toBe('attach');
    return `${error.message}; ${error.remedy}`;
  }
};

describe('in force', () => {
  test('on every Ethernet interface and on default; what stood there comes back exactly', () => {
    writeSysctl(confPath(second.nearName, 'arp_ignore'), '8');
    writeSysctl(confPath(second.farName, 'arp_announce'), '1');
    const before = allSettings();
    const evidence = guards.demand(first.near);
    expect(evidence).toContain(`${first.nearName}: arp_ignore 1, arp_announce 2 in force`);
    for (const name of ['default', first.nearName, first.farName, second.nearName, second.farName]) {
      expect(`${name} ${pair(name)}`).toBe(`${name} 1 2`);
    }
    expect(pair('all'), 'all is nobody’s to change').toBe('0 0');
    guards.restore();
    expect(allSettings()).toEqual(before);
  });

  test('recorded on disk before anything changes, so that a later run can put it back', () => {
    const before = allSettings();
    guards.demand(first.near);
    const saved = JSON.parse(readFileSync(record(), 'utf8')) as { entries: { scope: unknown; original: string }[] };
    expect(saved.entries.filter(({ scope }) => scope === 'default').map(({ original }) => original)).toEqual([
      '0',
      '0',
    ]);
    // A process that was killed leaves its record and its settings; the next one begins with them.
    guards.abandon();
    const heir = new SegmentGuards(monitor, SysctlRecord.open(record()));
    heir.demand(first.near);
    heir.restore();
    expect(allSettings()).toEqual(before);
  });

  test('an interface that appears is guarded from birth, and is as any other afterwards', async () => {
    guards.demand(first.near);
    const late = await layCable();
    try {
      expect(pair(late.nearName)).toBe('1 2');
      monitor.drain();
      ip(`link set ${late.nearName} name late0`);
      writeSysctl(confPath('late0', 'arp_ignore'), '0');
      monitor.drain();
      expect(guards.audit().map(({ interface: name }) => name)).toEqual(['late0']);
      expect(pair('late0')).toBe('1 2');
      guards.restore();
      expect([pair('late0'), pair(late.farName)]).toEqual(['0 0', '0 0']);
    } finally {
      late.remove = () => ip(`link del ${late.farName}`);
      late.remove();
    }
  });

  test('an interface that has another name, or is gone, when its turn comes, disturbs nobody', () => {
    guards.demand(first.near);
    writeSysctl(confPath('default', 'arp_ignore'), '0');
    ip('link add hot0 type veth peer name hot1');
    ip('link set hot0 name renamed0');
    ip('link add gone0 type veth peer name gone1');
    ip('link del gone0');
    expect(() => monitor.drain()).not.toThrow();
    try {
      expect([pair('renamed0'), pair('hot1')]).toEqual(['1 2', '1 2']);
      expect(refusal()).toMatch(/^accepted/);
    } finally {
      ip('link del renamed0');
    }
  });
});

describe('beside another koi in the same namespace', () => {
  let other: SegmentGuards;
  const filters = () => execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' });

  beforeEach(() => {
    other = new SegmentGuards(monitor, SysctlRecord.open(join(directory, 'other.json')));
  });
  afterEach(() => {
    other.restore();
  });

  test.each([
    ['who came first leaves first', () => [guards, other]],
    ['who came last leaves first', () => [other, guards]],
  ] as const)('%s: the guards stay for the other, who puts back what was there before either', (_, order) => {
    writeSysctl(confPath(second.nearName, 'arp_ignore'), '8');
    const before = [allSettings(), filters()];
    guards.demand(first.near);
    other.demand(first.near);
    const [leaves, stays] = order();
    expect(leaves?.restore()).toBe(undefined);
    for (const name of ['default', first.nearName, first.farName, second.nearName, second.farName]) {
      expect(`${name} ${pair(name)}`).toBe(`${name} 1 2`);
    }
    expect(readdirSync(directory).filter((name) => name.endsWith('.json')).length).toBeLessThanOrEqual(1);
    stays?.restore();
    expect([allSettings(), filters()]).toEqual(before);
  });

  test('who comes again while the other is there, and interfaces that are born meanwhile, make no difference', async () => {
    const before = allSettings();
    guards.demand(first.near);
    other.demand(first.near);
    const early = await layCable();
    monitor.drain();
    guards.restore();
    const late = await layCable();
    monitor.drain();
    try {
      const again = new SegmentGuards(monitor, SysctlRecord.open(record()));
      again.demand(first.near);
      other.restore();
      expect([pair(first.nearName), pair(early.nearName), pair(late.nearName)]).toEqual(['1 2', '1 2', '1 2']);
      again.restore();
      expect([pair(early.nearName), pair(late.nearName)]).toEqual(['0 0', '0 0']);
    } finally {
      early.remove();
      late.remove();
    }
    expect(allSettings()).toEqual(before);
  });

  test('one that never put them in force lifts none', () => {
    const third = new SegmentGuards(monitor, SysctlRecord.open(join(directory, 'third.json')));
    guards.demand(first.near);
    other.demand(first.near);
    guards.restore();
    third.restore();
    expect(pair(first.nearName)).toBe('1 2');
  });

  test('one that was killed is waited for by nobody', () => {
    const before = allSettings();
    guards.demand(first.near);
    other.demand(first.near);
    // As the kernel does for it: its mark ends, and its record stays.
    other.abandon();
    guards.restore();
    expect(allSettings()).toEqual(before);
  });

  test('a user who may not change interfaces cannot keep them there', async () => {
    const name = `koi/guarded/${'0'.repeat(36)}`;
    const squat = `require('node:net').createServer().listen('\\0${name}', () => console.log('there')); setTimeout(() => {}, 60_000)`;
    const words = ['--reuid=65534', '--clear-groups', '--inh-caps=-all', process.execPath, '-e', squat];
    const squatter = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(squatter.stdout, 'data');
      const before = allSettings();
      guards.demand(first.near);
      guards.restore();
      expect(allSettings()).toEqual(before);
    } finally {
      squatter.kill('SIGKILL');
    }
  });
});

describe('drift', () => {
  test('none, at first', () => {
    expect(guards.audit()).toEqual([]);
    guards.demand(first.near);
    expect(guards.audit()).toEqual([]);
  });

  test.each([
    ['arp_ignore', 0],
    ['arp_ignore', 3],
    ['arp_announce', 1],
    ['arp_announce', 3],
  ] as const)('%s=%i is found and set right again, on any interface', (key, value) => {
    guards.demand(first.near);
    writeSysctl(confPath(second.farName, key), String(value));
    expect(guards.audit()).toEqual([{ interface: second.farName, key, found: value, repaired: true }]);
    expect(pair(second.farName)).toBe('1 2');
    expect(guards.audit()).toEqual([]);
  });

  test('stricter than needed is no drift, and no reason to refuse', () => {
    guards.demand(first.near);
    for (const value of ['2', '8']) {
      writeSysctl(confPath(first.nearName, 'arp_ignore'), value);
      expect(guards.audit()).toEqual([]);
      expect(refusal()).toMatch(/^accepted/);
    }
  });

  test('an attach does not wait for the audit', () => {
    guards.demand(first.near);
    writeSysctl(confPath(first.nearName, 'arp_ignore'), '0');
    expect(refusal()).toMatch(/^accepted/);
    expect(pair(first.nearName)).toBe('1 2');
  });

  test('of a virtual-MAC link in use is found too', async () => {
    const host = new Host();
    const spec = specOf(51);
    const attachment = host.attachment(spec, { guards: (ifindex) => guards.demand(ifindex) });
    try {
      await attachment.attach(first.near);
      monitor.drain();
      writeSysctl(confPath(spec.linkName, 'arp_ignore'), '0');
      expect(guards.audit()).toEqual([{ interface: spec.linkName, key: 'arp_ignore', found: 0, repaired: true }]);
      expect(pair(spec.linkName)).toBe('1 2');
    } finally {
      await attachment.destroy();
      host.close();
    }
  });

  test.each([
    ['all', 2],
    ['the link', 0],
  ] as const)('a strict rp_filter of %s: the link is made loose, and all is left as it is', async (scope, loose) => {
    const host = new Host();
    const spec = specOf(51);
    const attachment = host.attachment(spec, { guards: (ifindex) => guards.demand(ifindex) });
    const own = () => readSysctl(confPath(spec.linkName, 'rp_filter'));
    try {
      await attachment.attach(first.near);
      monitor.drain();
      expect([guards.audit(), own()]).toEqual([[], '0']);
      writeSysctl(confPath(scope === 'all' ? 'all' : spec.linkName, 'rp_filter'), '1');
      expect(guards.audit()).toEqual([{ interface: spec.linkName, key: 'rp_filter', found: 1, repaired: true }]);
      expect(own()).toBe(`${loose}`);
      expect(readSysctl(confPath('all', 'rp_filter'))).toBe(scope === 'all' ? '1' : '0');
      expect(guards.audit()).toEqual([]);
    } finally {
      writeSysctl(confPath('all', 'rp_filter'), '0');
      await attachment.destroy();
      host.close();
    }
  });

  test('a strict rp_filter of a parent is none: nothing for a virtual IP comes in there', () => {
    guards.demand(first.near);
    writeSysctl(confPath(first.nearName, 'rp_filter'), '1');
    expect(guards.audit()).toEqual([]);
    expect(readSysctl(confPath(first.nearName, 'rp_filter'))).toBe('1');
  });

  test('in all cannot be repaired at the interfaces: it is told for each of them', () => {
    guards.demand(first.near);
    writeSysctl(confPath('all', 'arp_ignore'), '2');
    const drifts = guards.audit();
    expect(drifts).toContainEqual({ interface: 'all', key: 'arp_ignore', found: 2, repaired: false });
    const ofParent = drifts.find((drift) => drift.interface === first.nearName);
    expect(ofParent).toMatchObject({ key: 'arp_ignore', repaired: false });
    writeSysctl(confPath('all', 'arp_ignore'), '0');
    expect(guards.audit()).toEqual([]);
  });
});

describe('refused, with the remedy', () => {
  test.each([
    ['arp_ignore', '2', 1],
    ['arp_ignore', '8', 1],
    ['arp_announce', '3', 2],
  ] as const)('all.%s=%s', (key, value, remedy) => {
    writeSysctl(confPath('all', key), value);
    expect(refusal()).toMatch(
      new RegExp(`^net.ipv4.conf.all.${key} is ${value}: .*; sysctl -w net.ipv4.conf.all.${key}=${remedy}$`),
    );
  });

  test.each([['arp_ignore'], ['arp_announce']] as const)('all.%s=1 is fine', (key) => {
    writeSysctl(confPath('all', key), '1');
    expect(refusal()).toMatch(/^accepted/);
  });

  test('a parent that is gone', () => {
    ip(`link set ${first.nearName} down`);
    const { near } = first;
    first.remove();
    first.remove = () => undefined;
    monitor.drain();
    expect(() => guards.demand(near)).toThrow(`interface ${near} is gone`);
  });
});
