import { chownSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootId, netnsInode } from './host-identity.js';
import { SysctlRecord } from './sysctl-record.js';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-record-'));
  path = join(directory, 'sysctl.json');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const eth = { ifindex: 4, name: 'eth1' };
const setting = { scope: eth, key: 'arp_ignore', original: '0', ours: '1' };
function record(entry: object): void {
  const entries = [setting, entry];
  writeFileSync(path, JSON.stringify({ version: 1, bootId: bootId(), netns: netnsInode(), entries }));
}

/* Root acts on this file, in a directory in which the agent's user makes files, too. */
describe('a record of changed sysctls', () => {
  it('is read where it names what koi changes', () => {
    record({ ...setting, scope: 'default', key: 'arp_announce', original: '-7', ours: '2' });
    expect(SysctlRecord.open(path).entries).toHaveLength(2);
  });

  it.each([
    ['another setting', { key: 'rp_filter' }],
    ['a path for a setting', { key: '../../../ip_forward' }],
    ['a path for an interface', { scope: { ifindex: 4, name: '../../ipv4' } }],
    ['all interfaces', { scope: 'all' }],
    ['all interfaces by name', { scope: { ifindex: 4, name: 'all' } }],
    ['no interface', { scope: null }],
    ['a value that koi does not set', { ours: '9' }],
    ['a value that is none', { original: '1\n2' }],
    ['a number for a text', { original: 1 }],
  ])('is refused where it names %s', (_, change) => {
    record({ ...setting, ...change });
    expect(() => SysctlRecord.open(path)).toThrow(/a setting that koi does not change/);
  });

  it.skipIf(process.getuid?.() !== 0)("is refused where it is not root's", () => {
    record(setting);
    chownSync(path, 65534, 65534);
    expect(() => SysctlRecord.open(path)).toThrow(/it is of user 65534, not root's/);
  });

  it('is refused where it is a link', () => {
    record(setting);
    const link = join(directory, 'link.json');
    symlinkSync(path, link);
    expect(() => SysctlRecord.open(link)).toThrow(/ELOOP/);
  });

  it('is not written through a link that somebody has put beside it', () => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'precious');
    symlinkSync(victim, `${path}.tmp`);
    SysctlRecord.open(path).adopt([{ scope: eth, key: 'arp_ignore', original: '0', ours: '1' }]);
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(SysctlRecord.open(path).entries).toHaveLength(1);
  });
});
