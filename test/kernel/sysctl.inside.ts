import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { confPath, readSysctl, writeSysctl } from '../../src/kernel/sysctl.js';
import { type ConfScope, SysctlRecord } from '../../src/kernel/sysctl-record.js';
import { type Cable, ip, layCable } from './cable.js';

let cable: Cable;
let netlink: Netlink;
let scope: ConfScope;
const directory = mkdtempSync(join(tmpdir(), 'koi-sysctl-'));
const path = join(directory, 'state', 'sysctls.json');

beforeAll(async () => {
  cable = await layCable();
  netlink = Netlink.open();
  scope = { ifindex: cable.near, name: cable.nearName };
});
afterEach(() => {
  for (const key of ['arp_ignore', 'arp_announce', 'rp_filter'] as const) {
    for (const name of ['all', 'default', cable.nearName]) writeSysctl(confPath(name, key), '0');
  }
  rmSync(path, { force: true });
});
afterAll(() => {
  netlink.close();
  cable.remove();
  rmSync(directory, { recursive: true });
});

const value = (name: string, key: 'arp_ignore' | 'arp_announce' | 'rp_filter') => readSysctl(confPath(name, key));
const nameOf = (ifindex: number) => {
  const link = getLink(netlink, ifindex);
  return link.ok ? link.value.name : undefined;
};

test('what was there comes back, after a crash as well', () => {
  // An interface follows `default` until it is given a value of its own.
  writeSysctl(confPath(cable.nearName, 'arp_ignore'), '0');
  writeSysctl(confPath('default', 'arp_ignore'), '2');
  SysctlRecord.open(path).apply([
    { scope, key: 'arp_ignore', value: 1 },
    { scope, key: 'arp_announce', value: 2 },
    { scope: 'default', key: 'arp_ignore', value: 1 },
  ]);
  expect(value(cable.nearName, 'arp_ignore')).toBe('1');
  expect(value(cable.nearName, 'arp_announce')).toBe('2');
  expect(value('default', 'arp_ignore')).toBe('1');

  // Another process, knowing only the file.
  const record = SysctlRecord.open(path);
  expect(record.entries).toHaveLength(3);
  expect(record.originalOf('default', 'arp_ignore')).toBe(2);
  expect(record.restore(nameOf)).toMatchObject({ foreign: [], gone: [] });
  expect(value(cable.nearName, 'arp_ignore')).toBe('0');
  expect(value(cable.nearName, 'arp_announce')).toBe('0');
  expect(value('default', 'arp_ignore')).toBe('2');
  expect(existsSync(path)).toBe(false);
  expect(SysctlRecord.open(path).restore(nameOf)).toEqual({ restored: [], foreign: [], gone: [] });
});

test('the record is in its file before the value changes', () => {
  const record = SysctlRecord.open(path);
  // The second cannot be set, so this fails after recording both and writing the first.
  expect(() =>
    record.apply([
      { scope, key: 'arp_ignore', value: 1 },
      { scope, key: 'arp_announce', value: 1.5 },
    ]),
  ).toThrow(/arp_announce.*1\.5.*EINVAL/);
  expect(JSON.parse(readFileSync(path, 'utf8')).entries).toHaveLength(2);
  expect(record.restore(nameOf).foreign).toHaveLength(1);
  expect(value(cable.nearName, 'arp_ignore')).toBe('0');
});

test('what cannot be put back keeps nothing else from it, and stays on record', () => {
  const record = SysctlRecord.open(path);
  record.apply([
    { scope, key: 'arp_ignore', value: 1 },
    { scope, key: 'arp_announce', value: 2 },
  ]);
  const text = readFileSync(path, 'utf8');
  const spoilt = JSON.parse(text);
  // A number, as originals are, and more than the kernel takes.
  spoilt.entries[0].original = '9999999999';
  writeFileSync(path, JSON.stringify(spoilt));
  expect(() => SysctlRecord.open(path).restore(nameOf)).toThrow(/arp_ignore.*9999999999/);
  expect([value(cable.nearName, 'arp_ignore'), value(cable.nearName, 'arp_announce')]).toEqual(['1', '0']);
  expect(SysctlRecord.open(path).entries.map(({ key }) => key)).toEqual(['arp_ignore']);

  writeFileSync(path, text);
  SysctlRecord.open(path).restore(nameOf);
  expect(value(cable.nearName, 'arp_ignore')).toBe('0');
});

test('our own value is never taken for the original', () => {
  const change = { scope, key: 'arp_ignore', value: 1 } as const;
  SysctlRecord.open(path).apply([change]);
  SysctlRecord.open(path).apply([change]);
  // Somebody else changes it, we repair it.
  writeSysctl(confPath(cable.nearName, 'arp_ignore'), '2');
  SysctlRecord.open(path).apply([change]);
  expect(value(cable.nearName, 'arp_ignore')).toBe('1');
  SysctlRecord.open(path).apply([{ ...change, value: 8 }]);
  SysctlRecord.open(path).restore(nameOf);
  expect(value(cable.nearName, 'arp_ignore')).toBe('0');
});

test('what was right already is neither changed nor given back', () => {
  writeSysctl(confPath(cable.nearName, 'arp_ignore'), '1');
  const record = SysctlRecord.open(path);
  record.apply([{ scope, key: 'arp_ignore', value: 1 }]);
  expect(record.entries).toHaveLength(0);
  record.restore(nameOf);
  expect(value(cable.nearName, 'arp_ignore')).toBe('1');
});

test('what somebody changed after us stays as they want it', () => {
  const record = SysctlRecord.open(path);
  record.apply([{ scope, key: 'arp_ignore', value: 1 }]);
  writeSysctl(confPath(cable.nearName, 'arp_ignore'), '2');
  expect(record.restore(nameOf)).toMatchObject({ restored: [], foreign: [confPath(cable.nearName, 'arp_ignore')] });
  expect(value(cable.nearName, 'arp_ignore')).toBe('2');
});

test('a renamed interface gets its value back under the new name, one that is gone is passed over', () => {
  ip('link add kdum0 type veth peer name kdum1');
  const dummy = getLink(netlink, 'kdum0');
  if (!dummy.ok) throw new Error(dummy.message);
  const record = SysctlRecord.open(path);
  record.apply([{ scope: { ifindex: dummy.value.ifindex, name: 'kdum0' }, key: 'arp_ignore', value: 1 }]);
  ip('link set kdum0 name kdum9');
  expect(record.restore(nameOf).restored).toEqual([confPath('kdum9', 'arp_ignore')]);
  expect(readSysctl(confPath('kdum9', 'arp_ignore'))).toBe('0');

  record.apply([{ scope: { ifindex: dummy.value.ifindex, name: 'kdum9' }, key: 'arp_ignore', value: 1 }]);
  ip('link del kdum9');
  expect(record.restore(nameOf)).toMatchObject({ restored: [], gone: [confPath('kdum9', 'arp_ignore')] });
});

test('a record of another boot or namespace does not count', () => {
  SysctlRecord.open(path).apply([{ scope, key: 'arp_ignore', value: 1 }]);
  const record = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...record, bootId: 'another' }));
  expect(SysctlRecord.open(path).entries).toHaveLength(0);
  writeFileSync(path, JSON.stringify({ ...record, netns: 1 }));
  expect(SysctlRecord.open(path).entries).toHaveLength(0);
  writeFileSync(path, JSON.stringify(record));
  expect(SysctlRecord.open(path).entries).toHaveLength(1);
});

test('nor does one that a machine without power has left empty, or full of zeros', () => {
  const record = SysctlRecord.open(path);
  record.apply([{ scope, key: 'arp_ignore', value: 1 }]);
  for (const text of ['', '\0'.repeat(500)]) {
    writeFileSync(path, text);
    expect(SysctlRecord.open(path).entries).toEqual([]);
  }
});

test('a record that cannot be read is an error with a remedy', () => {
  SysctlRecord.open(path).apply([{ scope, key: 'arp_ignore', value: 1 }]);
  for (const text of ['{', '[]', '{"version":2}']) {
    writeFileSync(path, text);
    expect(() => SysctlRecord.open(path)).toThrow(
      expect.objectContaining({ code: 'kernel', remedy: expect.stringContaining('delete the file') }),
    );
  }
});

test('errors name the sysctl', () => {
  expect(() => readSysctl(confPath('nowhere', 'arp_ignore'))).toThrow(/net\.ipv4\.conf\.nowhere\.arp_ignore.*ENOENT/);
  expect(() => readSysctl('net/ipv4/../../../etc/passwd')).toThrow(/not a sysctl/);
});
