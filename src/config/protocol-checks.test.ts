import { describe, expect, it } from 'vitest';
import { checkProtocol } from './protocol-checks.js';

/** What is said of one virtual router: errors as they are, warnings with `warning:` before them. */
function said(router: Record<string, unknown>): string[] {
  const found: string[] = [];
  const place = (path: readonly (string | number)[]): string => path.join('.');
  checkProtocol(
    { addresses: ['10.0.0.1/24'], ...router },
    [],
    (path, message) => found.push(`${place(path)}: ${message}`),
    (path, message) => found.push(`warning: ${place(path)}: ${message}`),
  );
  return found;
}

describe('what each protocol can say', () => {
  it.each<[string, Record<string, unknown>]>([
    ['VRRPv3 with everything of its own', { checksum: 'rfc9568', authHmac: { keyFile: '/k' }, advertInterval: '10ms' }],
    ['VRRPv2 with a password', { protocol: 'vrrp2', vrrp2: { auth: { type: 'pass', passwordFile: '/p' } } }],
    ['VRRPv2 with signatures', { protocol: 'vrrp2', authHmac: { keyFile: '/k' } }],
    ['CARP of FreeBSD', { protocol: 'carp', carp: { flavor: 'freebsd', advbase: 1, advskew: 100 } }],
    ['CARP of OpenBSD under a second', { protocol: 'carp', carp: { flavor: 'openbsd', advbase: 0, advskew: 25 } }],
    ['VRRPv3 of both families with a link-local', { addresses: ['10.0.0.1/24', 'fe80::1/64', '2001:db8::1/64'] }],
    ['an address that no advert names', { addresses: ['10.0.0.1/24', { address: '10.0.0.2/24', advertised: false }] }],
    ['CARP over IPv6 without a link-local', { protocol: 'carp', addresses: ['2001:db8::1/64'] }],
  ])('accepts %s', (_, router) => {
    expect(said(router)).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['priority in CARP', { protocol: 'carp', priority: 5 }, 'priority: CARP has no priority'],
    ['auth_hmac in CARP', { protocol: 'carp', authHmac: {} }, 'authHmac: CARP has an HMAC of its own'],
    [
      'addresses of a family that no advert would name',
      { addresses: ['10.0.0.1/24', { address: 'fe80::1/64', advertised: false }] },
      'addresses.1.advertised: no advert would name any of the IPv6 addresses',
    ],
    [
      'an address that is not advertised in CARP',
      { protocol: 'carp', addresses: [{ address: '10.0.0.1/24', advertised: false }] },
      'addresses.0.advertised: CARP adverts name no address',
    ],
    ['checksum in CARP', { protocol: 'carp', checksum: 'auto' }, 'checksum: CARP has one form of checksum'],
    [
      'checksum in VRRPv2',
      { protocol: 'vrrp2', checksum: 'auto' },
      'checksum: VRRP version 2 has one form of checksum',
    ],
    [
      'checksum over IPv6 alone',
      { checksum: 'auto', addresses: ['fe80::1/64'] },
      'checksum: over IPv6 there is one form of checksum',
    ],
    [
      'IPv6 in VRRPv2',
      { protocol: 'vrrp2', addresses: ['10.0.0.1/24', '2001:db8::1/64'] },
      'addresses.1: VRRP version 2 has no IPv6',
    ],
    [
      'password and signature at once',
      { protocol: 'vrrp2', authHmac: {}, vrrp2: { auth: {} } },
      'authHmac: adverts are authenticated by a password already',
    ],
    [
      'advbase 0 outside OpenBSD',
      { protocol: 'carp', carp: { advbase: 0, advskew: 25 } },
      'carp.advbase: only OpenBSD has intervals under a second',
    ],
    ['15 ms in VRRPv3', { advertInterval: '15ms' }, 'advertInterval: 15ms cannot be sent in vrrp3'],
    [
      '500 ms in VRRPv2',
      { protocol: 'vrrp2', advertInterval: '500ms' },
      'advertInterval: 500ms cannot be sent in vrrp2',
    ],
    ['options of version 2 in version 3', { vrrp2: {} }, 'vrrp2: vrrp2 does not belong to protocol vrrp3'],
    ['options of CARP in VRRP', { carp: {} }, 'carp: carp does not belong to protocol vrrp3'],
    [
      'more than one advert can carry',
      { addresses: ['fe80::1/64', ...Array.from({ length: 89 }, (_, host) => `2001:db8::${host + 1}/64`)] },
      'addresses: 90 IPv6 addresses do not fit into one advert',
    ],
    [
      'a gateway without a link-local',
      { addresses: ['2001:db8::1/64'] },
      'warning: addresses: there is no link-local address among the IPv6 ones, where RFC 9568 wants it first',
    ],
    [
      'adverts every few milliseconds',
      { protocol: 'carp', carp: { flavor: 'openbsd', advbase: 0, advskew: 1 } },
      'warning: carp.advskew: an advert every few milliseconds leaves no room for any delay',
    ],
  ])('speaks up about %s', (_, router, expected) => {
    expect(said(router)).toEqual([expected]);
  });
});
