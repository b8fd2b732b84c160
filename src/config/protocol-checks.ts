import { addressTextOf, parseVirtualAddress } from './address.js';
import { formatDuration, parseDurationMs } from './duration.js';
import { type ConfigPath, isMap } from './path.js';

/* What each protocol can say and cannot. Reads the file as it is, as all rules that join several fields do. */

type Entry = Readonly<Record<string, unknown>>;
type Report = (path: ConfigPath, message: string, remedy: string) => void;

export function checkProtocol(router: Entry, path: ConfigPath, fail: Report, warn: Report): void {
  const protocol = router.protocol ?? 'vrrp3';
  const refuse = (key: string, message: string, remedy: string): void => {
    if (router[key] !== undefined) fail([...path, key], message, remedy);
  };
  const families = familiesOf(router);
  switch (protocol) {
    case 'carp':
      refuse('priority', 'CARP has no priority', 'use carp: {advbase, advskew}; the lower wins');
      refuse('advertInterval', 'CARP has no advertInterval', 'use carp: {advbase, advskew}');
      refuse('authHmac', 'CARP has an HMAC of its own', 'use carp: {passwordFile}');
      refuse('checksum', 'CARP has one form of checksum', 'remove it');
      checkCarp(router.carp, [...path, 'carp'], fail, warn);
      addressesOf(router).forEach(({ at, advertised }) => {
        const remedy = 'remove advertised: in CARP it is the password that has to be the same';
        if (!advertised) fail([...path, 'addresses', at, 'advertised'], 'CARP adverts name no address', remedy);
      });
      break;
    case 'vrrp2':
      refuse('carp', 'carp does not belong to protocol vrrp2', 'remove it, or use protocol: carp');
      refuse('checksum', 'VRRP version 2 has one form of checksum', 'remove it, or use protocol: vrrp3');
      checkInterval(router, 'vrrp2', [...path, 'advertInterval'], fail);
      families.forEach((family, at) => {
        if (family === 6) fail([...path, 'addresses', at], 'VRRP version 2 has no IPv6', 'use protocol: vrrp3');
      });
      if (router.authHmac !== undefined && isMap(router.vrrp2) && router.vrrp2.auth !== undefined) {
        fail([...path, 'authHmac'], 'adverts are authenticated by a password already', 'remove vrrp2.auth');
      }
      break;
    case 'vrrp3':
      refuse('carp', 'carp does not belong to protocol vrrp3', 'remove it, or use protocol: carp');
      checkInterval(router, 'vrrp3', [...path, 'advertInterval'], fail);
      if (!families.includes(4) && families.includes(6)) {
        refuse('checksum', 'over IPv6 there is one form of checksum', 'remove it');
      }
      checkLinkLocal(router, [...path, 'addresses'], warn);
      checkCount(router, [...path, 'addresses'], fail);
      break;
    default:
      break;
  }
  if (protocol !== 'carp') checkAdvertised(router, [...path, 'addresses'], fail);
  if (protocol !== 'vrrp2') refuse('vrrp2', `vrrp2 does not belong to protocol ${String(protocol)}`, 'remove it');
}

function checkCarp(carp: unknown, path: ConfigPath, fail: Report, warn: Report): void {
  if (!isMap(carp) || carp.advbase !== 0) return;
  if (carp.flavor !== 'openbsd') {
    fail([...path, 'advbase'], 'only OpenBSD has intervals under a second', 'use flavor: openbsd, or advbase 1');
  }
  const advskew = carp.advskew ?? 0;
  if (typeof advskew === 'number' && advskew < 3) {
    warn([...path, 'advskew'], 'an advert every few milliseconds leaves no room for any delay', 'use 3 (12ms) or more');
  }
}

/** RFC 9568 §5.2.9 wants it; keepalived and FRR do without, and compare lists, so it is never added unasked. */
function checkLinkLocal(router: Entry, path: ConfigPath, warn: Report): void {
  const six = addressesOf(router).filter(({ family }) => family === 6);
  if (six.length === 0 || six.some(({ address }) => address.startsWith('fe80:'))) return;
  warn(
    path,
    'there is no link-local address among the IPv6 ones, where RFC 9568 wants it first',
    'add one, such as fe80::1/64, where hosts take this router for their gateway or a peer insists; the same on all',
  );
}

/** Adverts of one family are what says that its addresses are served. */
function checkAdvertised(router: Entry, path: ConfigPath, fail: Report): void {
  const all = addressesOf(router);
  for (const family of [4, 6] as const) {
    const first = all.find((each) => each.family === family);
    if (first === undefined || all.some((each) => each.family === family && each.advertised)) continue;
    const remedy = `let one of them be advertised, or leave IPv${family} to a virtual router of its own`;
    fail([...path, first.at, 'advertised'], `no advert would name any of the IPv${family} addresses`, remedy);
  }
}

/** 1500 octets less IPv6 header, VRRP header and signature, 16 each; IPv4 has room for the 255 that can be counted. */
const ipv6AddressesMax = 89;

function checkCount(router: Entry, path: ConfigPath, fail: Report): void {
  const count = addressesOf(router).filter(({ family, advertised }) => family === 6 && advertised).length;
  if (count <= ipv6AddressesMax) return;
  fail(path, `${count} IPv6 addresses do not fit into one advert`, `keep to ${ipv6AddressesMax} a virtual router`);
}

interface Listed {
  readonly family: 4 | 6;
  readonly address: string;
  /** Its place in the list. */
  readonly at: number;
  readonly advertised: boolean;
}

function addressesOf(router: Entry): Listed[] {
  if (!Array.isArray(router.addresses)) return [];
  return router.addresses.flatMap((entry: unknown, at) => {
    const text = addressTextOf(entry);
    const parsed = text === undefined ? undefined : parseVirtualAddress(text);
    const advertised = !(isMap(entry) && entry.advertised === false);
    return parsed?.ok === true ? [{ ...parsed.value, at, advertised }] : [];
  });
}

/** In the order of the list; undefined where there is no address. */
function familiesOf(router: Entry): readonly (4 | 6 | undefined)[] {
  if (!Array.isArray(router.addresses)) return [];
  return router.addresses.map((entry: unknown) => {
    const text = addressTextOf(entry);
    const parsed = text === undefined ? undefined : parseVirtualAddress(text);
    return parsed?.ok === true ? parsed.value.family : undefined;
  });
}

function checkInterval(router: Entry, protocol: 'vrrp2' | 'vrrp3', path: ConfigPath, fail: Report): void {
  const { advertInterval = '1s' } = router;
  const intervalMs = typeof advertInterval === 'string' ? parseDurationMs(advertInterval) : undefined;
  if (intervalMs === undefined) return;
  // RFC 9568 §5.2.7: 12 bits of centiseconds; RFC 3768 §5.3.7: 8 bits of seconds.
  const [stepMs, maxMs] = protocol === 'vrrp3' ? [10, 40_950] : [1_000, 255_000];
  if (intervalMs >= stepMs && intervalMs <= maxMs && intervalMs % stepMs === 0) return;
  fail(
    path,
    `${formatDuration(intervalMs)} cannot be sent in ${protocol}`,
    `use ${formatDuration(stepMs)} to ${formatDuration(maxMs)} in steps of ${formatDuration(stepMs)}`,
  );
}
