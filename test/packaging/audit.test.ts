import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Advisory, concerns, nodeWeaknesses, parseAdvisory } from '../../packaging/audit/advisories.js';
import { type LockedPackages, loosePins, type Manifest } from '../../packaging/audit/pins.js';
import { compareVersions } from '../../packaging/audit/version.js';

const read = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;

describe('what is depended on', () => {
  it('is pinned: one version of each, and its sum in the lock', () => {
    expect(loosePins(read<Manifest>('package.json'), read<LockedPackages>('package-lock.json'))).toEqual([]);
  });

  it('is told of where it is not', () => {
    const manifest = { dependencies: { a: '^1.0.0', b: '1.0.0' }, devDependencies: { c: 'latest' } };
    const lock = {
      packages: { '': {}, 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { integrity: 'sha512-x' } },
    };
    expect(loosePins(manifest, lock)).toEqual([
      'package.json: a is ^1.0.0, not one version',
      'package.json: c is latest, not one version',
      'package-lock.json: node_modules/a has no sum',
    ]);
  });
});

it.each([
  ['1.2.3', '1.2.3', 0],
  ['v1.2.10', '1.2.9', 1],
  ['1.0.0-rc.2', '1.0.0-rc.10', -1],
  ['1.0.0-rc.1', '1.0.0', -1],
  ['1.0.0-alpha', '1.0.0-alpha.1', -1],
  ['0.0.0-20240102030405-abcdef', '0.0.0-20250102030405-000000', -1],
  ['1.0.0+build', '1.0.0', 0],
  ['1.0.0-1', '1.0.0-a', -1],
])('version %s beside %s: %d', (a, b, expected) => {
  expect(Math.sign(compareVersions(a, b))).toBe(expected);
  expect(Math.sign(compareVersions(b, a))).toBe(expected === 0 ? 0 : -expected);
});

describe('an advisory', () => {
  const of = (affected: object, more: object = {}): Advisory =>
    parseAdvisory(
      JSON.stringify({ id: 'X-1', affected: [{ package: { ecosystem: 'npm', name: 'a' }, ...affected }], ...more }),
    );
  const ranges = (...events: object[]) => ({ ranges: [{ type: 'SEMVER', events }] });
  const a = (version: string) => ({ ecosystem: 'npm', name: 'a', version }) as const;

  it.each([
    ['1.0.0', true],
    ['1.2.3-rc.1', true],
    ['1.2.3', false],
    ['2.0.0', true],
    ['2.1.0', true],
    ['2.1.1', false],
  ])('is about the versions between its events: %s %s', (version, expected) => {
    const found = of(
      ranges({ introduced: '0' }, { fixed: '1.2.3' }, { introduced: '2.0.0' }, { last_affected: '2.1.0' }),
    );
    expect(concerns(found, a(version))).toBe(expected);
  });

  it('is about the versions that it lists, while it stands, and about nothing of another name', () => {
    expect(concerns(of({ versions: ['1.0.0'] }), a('1.0.0'))).toBe(true);
    expect(concerns(of({ versions: ['1.0.0'] }, { withdrawn: '2026-01-01T00:00:00Z' }), a('1.0.0'))).toBe(false);
    expect(concerns(of(ranges({ introduced: '0' })), { ...a('1.0.0'), name: 'b' })).toBe(false);
    expect(concerns(of(ranges({ introduced: '0' })), { ...a('1.0.0'), ecosystem: 'Go' })).toBe(false);
  });

  it('of a Go package is about the programs that were linked with it', () => {
    const found = of({ ...ranges({ introduced: '0' }), ecosystem_specific: { imports: [{ path: 'a/openpgp' }] } });
    expect(concerns(found, a('1.0.0'), (path) => path === 'a/openpgp')).toBe(true);
    expect(concerns(found, a('1.0.0'), () => false)).toBe(false);
  });

  it('of Node is about the lines that it names, until the version that it names', () => {
    const known = JSON.stringify({
      1: { cve: ['CVE-1'], vulnerable: '22.x || 24.x', patched: '^22.22.2 || ^24.14.1' },
      2: { cve: ['CVE-2'], vulnerable: '24.x' },
    });
    expect(nodeWeaknesses(known, '24.14.0')).toEqual(['CVE-1', 'CVE-2']);
    expect(nodeWeaknesses(known, '24.14.1')).toEqual(['CVE-2']);
    expect(nodeWeaknesses(known, '22.23.0')).toEqual([]);
    expect(nodeWeaknesses(known, '20.0.0')).toEqual([]);
  });
});
