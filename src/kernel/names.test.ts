import { describe, expect, test } from 'vitest';
import { aliasOf, isKoiGroup, linkGroup, nftTableName, parseAlias, virtualMacLinkName } from './names.js';

describe('link names', () => {
  test('fit into 15 characters and tell virtual routers apart', () => {
    const names = new Set<string>();
    for (let id = 1; id <= 255; id++) {
      for (const vr of ['gw', 'dmz', 'a-name-much-longer-than-any-interface-name-may-be']) {
        const name = virtualMacLinkName('edge', vr, id);
        expect(name).toMatch(/^koi\d{1,3}\.[0-9a-f]{6}$/);
        expect(name.length).toBeLessThanOrEqual(15);
        names.add(name);
      }
    }
    expect(names.size).toBe(255 * 3);
  });

  test('are the same on every node, and differ between clusters', () => {
    expect(virtualMacLinkName('edge', 'gw', 51)).toBe(virtualMacLinkName('edge', 'gw', 51));
    expect(virtualMacLinkName('edge', 'gw', 51)).not.toBe(virtualMacLinkName('core', 'gw', 51));
    // Parts are not simply joined: where one ends matters.
    expect(virtualMacLinkName('ab', 'c', 51)).not.toBe(virtualMacLinkName('a', 'bc', 51));
  });
});

describe('aliases', () => {
  test('are readable and come back as they went in', () => {
    const owner = { cluster: 'edge', vr: 'gw', bootId: '1c6f2a9e-0000-4000-8000-000000000000' };
    expect(aliasOf(owner)).toBe('koi:edge:gw:1c6f2a9e-0000-4000-8000-000000000000');
    expect(parseAlias(aliasOf(owner))).toEqual(owner);
    const odd = { cluster: 'a:b%3A', vr: '%:', bootId: 'x' };
    expect(parseAlias(aliasOf(odd))).toEqual(odd);
  });

  test('of others are not ours', () => {
    for (const alias of [
      undefined,
      '',
      'uplink to core',
      'koi',
      'koi:edge',
      'koi:edge:gw',
      'koi:edge:gw:b:x',
      'koi::gw:b',
    ]) {
      expect(parseAlias(alias), String(alias)).toBeUndefined();
    }
  });
});

test('groups lie in the range that belongs to Koi', () => {
  const group = linkGroup('edge', 'r1');
  expect(isKoiGroup(group)).toBe(true);
  expect(group).not.toBe(linkGroup('edge', 'r2'));
  expect(group).toBeLessThan(2 ** 31);
  for (const other of [0, 1, 100, 0x4aff_ffff, 0x4c00_0000]) expect(isKoiGroup(other)).toBe(false);
});

test('tables have names that nft takes without quotes', () => {
  expect(nftTableName('edge', 'r1')).toMatch(/^koi_edge_r1_[0-9a-f]{6}$/);
  expect(nftTableName('Zürich/1', 'r1.example.net')).toMatch(/^[A-Za-z0-9_]{1,100}$/);
  expect(nftTableName('a.b', 'c')).not.toBe(nftTableName('a_b', 'c'));
});
