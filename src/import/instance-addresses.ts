import { canonicalAddress, parseVirtualAddress } from '../config/address.js';
import type { InstanceDraft } from './instance-draft.js';
import type { Directive } from './keepalived-parser.js';
import { wholeNumber } from './words.js';

export type AddressEntry =
  | string
  | { readonly address: string; readonly interface?: string; readonly advertised?: false };

const hostPart = (text: string): string => text.split('/')[0] ?? '';
export const familyOf = (text: string): 4 | 6 | undefined => canonicalAddress(hostPart(text))?.family;

/** `virtual_ipaddress`: each line an address with options; those of another family are as good as excluded. */
export function readAddresses(draft: InstanceDraft, list: Directive): void {
  const found = (list.block ?? []).flatMap((line) => readAddress(draft, line, true) ?? []);
  draft.append('addresses', found, list);
}

/** `virtual_ipaddress_excluded`: the same, and no advert names them. */
export function readExcluded(draft: InstanceDraft, list: Directive): void {
  const found = (list.block ?? []).flatMap((line) => readAddress(draft, line, false) ?? []);
  draft.append('addresses', found, list);
}

function readAddress(draft: InstanceDraft, line: Directive, advertised: boolean): AddressEntry | undefined {
  const { ledger, family } = draft;
  const parsed = parseVirtualAddress(line.name);
  if (!parsed.ok) {
    ledger.leave(line, { reason: parsed.message, remedy: parsed.remedy });
    return undefined;
  }
  if (parsed.value.family !== family) {
    ledger.leave(line, {
      reason: `the instance is one of IPv${family}, and no advert of it speaks for IPv${parsed.value.family}`,
      remedy: `make a virtual router of its own for IPv${parsed.value.family}, with the same id`,
    });
    return undefined;
  }
  const device = deviceOf(line);
  const elsewhere = device === undefined || draft.isOwnDevice(device) ? undefined : device;
  const key = `${parsed.value.address} ${parsed.value.address.startsWith('fe80:') ? (elsewhere ?? draft.device) : ''}`;
  if (draft.shared.addresses.has(key)) {
    ledger.leave(line, { reason: `${line.name} is in the file already`, remedy: 'an address has one virtual router' });
    return undefined;
  }
  draft.shared.addresses.add(key);
  draft.claimed.push(key);
  const options = line.values.filter((word, at, all) => word !== 'use_vmac' && word !== 'dev' && all[at - 1] !== 'dev');
  if (options.length === 0) ledger.carry(line);
  else {
    ledger.note(
      line,
      `the address is carried over, its options are not: ${options.join(' ')}`,
      'Koi adds host addresses without them; hosts see no difference',
    );
  }
  if (elsewhere === undefined && advertised) return line.name;
  return {
    address: line.name,
    ...(elsewhere === undefined ? {} : { interface: elsewhere }),
    ...(advertised ? {} : { advertised: false }),
  };
}

function deviceOf({ values }: Directive): string | undefined {
  const at = values.indexOf('dev');
  return at < 0 ? undefined : values[at + 1];
}

/** `unicast_peer`: each line an address, with limits of the TTL that Koi has one of. */
export function readPeers(draft: InstanceDraft, list: Directive): void {
  const { ledger } = draft;
  const limits: number[] = [];
  const peers = (list.block ?? []).flatMap((line): string[] => {
    if (canonicalAddress(line.name) === undefined) {
      ledger.leave(line, { reason: `'${line.name}' is no IP address`, remedy: 'name the peer by its address' });
      return [];
    }
    const at = line.values.indexOf('min_ttl');
    const limit = at < 0 ? undefined : wholeNumber(line.values[at + 1], 1, 255);
    if (limit !== undefined) limits.push(limit);
    if (line.values.length === (limit === undefined ? 0 : 2)) ledger.carry(line);
    else ledger.note(line, 'Koi has no upper limit of the TTL', 'nothing');
    return [line.name];
  });
  draft.peers.push(...peers);
  if (limits.length > 0) draft.minTtl = Math.min(draft.minTtl ?? 255, ...limits);
  ledger.carry(list);
  draft.peersFrom ??= list;
}
