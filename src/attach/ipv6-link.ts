import type { Netns } from '../kernel/netns.js';
import { readSysctlIfPresent, writeSysctl } from '../kernel/sysctl.js';
import { KoiError } from '../koi-error.js';

const path = (interfaceName: string, key: string): string => `net/ipv6/conf/${interfaceName}/${key}`;

/**
 * What a virtual-MAC link must not do by itself: make addresses out of router advertisements, which would be derived
 * from the virtual MAC and so the same on every node; solicit routers; probe for duplicates, which finds the node that
 * has just had the address. It forwards, or not, as its parent does, or as the other namespace does that it is in: the kernel's own
 * advertisements say so.
 *
 * Set before the link comes up for the first time, and read back.
 * @returns the evidence
 * @throws KoiError `attach` where the host has no IPv6
 */
export function configureIpv6(linkName: string, parentName: string, netns?: Netns): string {
  const forwarding = readSysctlIfPresent(path(netns === undefined ? parentName : 'all', 'forwarding'), netns);
  if (forwarding === undefined) {
    throw new KoiError('attach', `${netns === undefined ? parentName : `namespace ${netns.name}`} has no IPv6`, {
      remedy: 'load or enable IPv6 in the kernel, or leave the IPv6 addresses out',
    });
  }
  const wanted: readonly (readonly [string, string])[] = [
    ['disable_ipv6', '0'],
    ['accept_ra', '0'],
    ['autoconf', '0'],
    ['router_solicitations', '0'],
    ['accept_dad', '0'],
    ['dad_transmits', '0'],
    ['accept_redirects', '0'],
    ['forwarding', forwarding],
  ];
  for (const [key, value] of wanted) {
    const at = path(linkName, key);
    if (readSysctlIfPresent(at, netns) === value) continue;
    writeSysctl(at, value, netns);
    const found = readSysctlIfPresent(at, netns);
    if (found === value) continue;
    throw new KoiError('attach', `${at.replaceAll('/', '.')} reads back ${found}, not ${value}`, {
      remedy: `sysctl -w ${at.replaceAll('/', '.')}=${value}, and see who changes it`,
    });
  }
  return wanted.map(([key, value]) => `${key} ${value}`).join(', ');
}
