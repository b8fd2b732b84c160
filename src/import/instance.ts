import { canonicalAddress } from '../config/address.js';
import { readHooks } from './hooks.js';
import { readAddresses, readExcluded, readPeers } from './instance-addresses.js';
import { type ImportedEntry, InstanceDraft, type Membership, type Shared } from './instance-draft.js';
import { readRoutes } from './instance-routes.js';
import type { Directive } from './keepalived-parser.js';
import { lastOfEach, type Readers, readEach } from './reader-table.js';
import type { TrackedKind } from './track-book.js';
import { secondsAsMs, truth, wholeNumber } from './words.js';

const carry = (draft: InstanceDraft, directive: Directive): void => draft.ledger.carry(directive);

/** Statements that may stand more than once, and add up. */
const lists = [
  ...['virtual_ipaddress', 'virtual_ipaddress_excluded', 'virtual_routes', 'virtual_rules', 'unicast_peer'],
  ...['track_interface', 'track_script', 'track_file', 'track_process', 'track_bfd'],
];

export function readTracked(
  kind: TrackedKind,
  list: Directive,
  { shared, inGroup, append }: { shared: Shared; inGroup: boolean; append: (name: string) => void },
): void {
  shared.ledger.carry(list);
  for (const line of list.block ?? []) {
    const name = shared.tracks.refer(kind, line, inGroup);
    if (name !== undefined) append(name);
  }
}

const track = (kind: TrackedKind) => (draft: InstanceDraft, list: Directive) => {
  const inGroup = draft.group !== undefined && !draft.group.weights;
  readTracked(kind, list, { shared: draft.shared, inGroup, append: (name) => addTrack(draft, name, list) });
};

function addTrack(draft: InstanceDraft, name: string, from: Directive): void {
  const known = draft.entries.find(({ key }) => key === 'track')?.value;
  if (!Array.isArray(known) || !known.includes(name)) draft.append('track', [name], from);
}

/** RFC 9568 section 5.2.7 and RFC 3768 section 5.3.7; what does not fit is rounded, as keepalived does. */
function readInterval(draft: InstanceDraft, directive: Directive): void {
  const ms = secondsAsMs(directive.values[0]);
  if (ms === undefined || ms === 0) {
    draft.leave(directive, `'${directive.values[0] ?? ''}' is no number of seconds`, 'write it as 1 or 0.25');
    return;
  }
  const [stepMs, maxMs] = draft.version === 3 ? [10, 40_950] : [1_000, 255_000];
  const sentMs = Math.min(maxMs, Math.max(stepMs, Math.floor(ms / stepMs + 0.5) * stepMs));
  draft.set('advertInterval', `${sentMs}ms`, directive);
  if (sentMs === ms) return;
  const reason = `VRRP version ${draft.version} cannot say ${directive.values[0]} s: keepalived rounds it, and so does this import, to ${sentMs} ms`;
  draft.ledger.note(directive, reason, 'nothing');
}

function readPreemption(draft: InstanceDraft, directive: Directive): void {
  const { ledger } = draft;
  if (draft.priority === 255) {
    draft.leave(directive, 'the owner of the addresses (priority 255) always preempts', 'remove it');
    return;
  }
  if (draft.startsAsMaster) {
    const remedy = 'write state BACKUP on every router where it is meant';
    draft.leave(directive, 'beside state MASTER keepalived ignores it', remedy);
    return;
  }
  if (directive.name === 'nopreempt') {
    draft.merge('preempt', { enabled: false }, directive);
    return;
  }
  const ms = secondsAsMs(directive.values[0]);
  if (draft.has('nopreempt')) {
    draft.leave(directive, 'with nopreempt there is nothing to delay', 'remove it');
    return;
  }
  if (ms === undefined || ms > 3_600_000) {
    draft.leave(directive, "it is over Koi's hour, or no time", 'set preempt.delay');
    return;
  }
  draft.merge('preempt', { delay: `${Math.round(ms)}ms` }, directive);
  ledger.carry(directive);
}

function readPassword(draft: InstanceDraft, directive: Directive): void {
  const { ledger } = draft;
  const block = directive.block ?? [];
  const type = block.find(({ name }) => name === 'auth_type');
  const password = block.find(({ name }) => name === 'auth_pass');
  if (draft.version !== 2 || type?.values[0] !== 'PASS' || type.values.length > 1 || password === undefined) {
    ledger.leave(directive);
    return;
  }
  const passwordFile = `/etc/koi/${koiName(draft)}.pass`;
  draft.set('vrrp2', { auth: { type: 'pass', passwordFile } }, directive);
  for (const entry of block) {
    if (entry === type) ledger.carry(entry);
    else if (entry !== password) ledger.leave(entry);
    else ledger.note(entry, 'a password has a file', `write it to ${passwordFile}, mode 0600`);
  }
}

/** keepalived 2.4: `key ID TEXT` or `key ID file:PATH`, `active_key ID`, `mode`, `anti_replay`. */
function readHmac(draft: InstanceDraft, directive: Directive): void {
  const { ledger } = draft;
  const block = directive.block ?? [];
  const sayOf = (name: string): string | undefined => block.find((entry) => entry.name === name)?.values[0];
  const keys = block.filter(({ name }) => name === 'key');
  const active = sayOf('active_key') ?? keys[0]?.values[0];
  const key = keys.find(({ values }) => values[0] === active);
  const keyId = wholeNumber(active, 1, 255);
  if (key === undefined || keyId === undefined) {
    draft.leave(directive, 'it has no key that is active', 'give it key ID and active_key ID');
    return;
  }
  const named = /^file:(\/.*)$/.exec(key.values[1] ?? '')?.[1];
  const keyFile = named ?? `/etc/koi/${koiName(draft)}.hmac`;
  const mode = /^(enforce|permissive|receive-only)$/.exec(sayOf('mode') ?? '')?.[0];
  const antiReplay = /^(time|monotonic)$/.exec(sayOf('anti_replay') ?? '')?.[0];
  const optional = { ...(mode === undefined ? {} : { mode }), ...(antiReplay === undefined ? {} : { antiReplay }) };
  draft.set('authHmac', { keyFile, keyId, ...optional }, directive);
  for (const entry of block) {
    if (entry === key) {
      if (named !== undefined) ledger.carry(entry);
      else ledger.note(entry, 'a key has a file', `write it to ${keyFile}, mode 0600`);
    } else if (entry.name === 'key') {
      const reason = 'Koi signs with one key, and takes that one only';
      draft.leave(entry, reason, 'change keys by way of mode: permissive, see docs/protocols.md');
    } else if (/^(active_key|mode|anti_replay)$/.test(entry.name)) ledger.carry(entry);
    else ledger.leave(entry);
  }
}

const koiName = (draft: InstanceDraft): string => String(draft.entries.find(({ key }) => key === 'name')?.value ?? '');

function requireWhole(key: string, min: number, max: number) {
  return (draft: InstanceDraft, directive: Directive): void => {
    const value = wholeNumber(directive.values[0], min, max);
    if (value !== undefined) {
      draft.set(key, value, directive);
      return;
    }
    const said = directive.values[0] ?? '';
    draft.leave(directive, `'${said}' is not a whole number from ${min} to ${max}`, 'correct it in the file');
  };
}

/** What a `vrrp_instance` may say, and what becomes of it. */
export const instanceReaders: Readers<InstanceDraft> = {
  state: {
    koi: 'a node starts as backup, and the priority decides',
    read: (draft, directive) => (draft.startsAsMaster ? draft.ledger.leave(directive) : carry(draft, directive)),
  },
  interface: {
    koi: '`interface`',
    read: (draft, directive) => {
      const [name] = directive.values;
      if (name !== undefined) draft.set('interface', name, directive);
      else draft.leave(directive, 'it names none', 'name the interface');
    },
  },
  virtual_router_id: { koi: '`id`', read: requireWhole('id', 1, 255) },
  priority: { koi: '`priority`, by default 100', read: requireWhole('priority', 1, 255) },
  advert_int: { koi: '`advertInterval`, rounded as keepalived does', read: readInterval },
  version: {
    koi: '`protocol`; with IPv6 always `vrrp3`',
    read: (draft, directive) => {
      if (directive.values[0] === String(draft.version)) carry(draft, directive);
      else draft.leave(directive, `it is no version, or IPv6, which is version 3 only`, 'remove it');
    },
  },
  native_ipv6: { koi: 'the addresses say it', read: carry },
  nopreempt: { koi: '`preempt: {enabled: false}`', read: readPreemption },
  preempt_delay: { koi: '`preempt: {delay}`', read: readPreemption },
  preempt: { koi: 'the default', read: carry },
  accept: { koi: 'the default', read: carry },
  no_accept: {
    koi: '`accept: false`',
    read: (draft, directive) => {
      if (draft.priority !== 255) draft.set('accept', false, directive);
      else draft.leave(directive, 'the owner of the addresses (priority 255) accepts', 'remove it');
    },
  },
  strict_mode: {
    koi: '`accept: false`, the rest of it is listed',
    read: (draft, directive) => {
      if (draft.isStrict()) draft.ledger.note(directive, 'of it Koi has accept: false', 'nothing');
      else if (truth(directive.values[0]) === undefined) draft.ledger.leave(directive);
      else carry(draft, directive);
    },
  },
  virtual_ipaddress: {
    koi: '`addresses`; `dev` is `interface` of an address, other options are listed',
    read: readAddresses,
  },
  virtual_ipaddress_excluded: {
    koi: '`addresses` with `advertised: false`; those of another family than `virtual_ipaddress` are listed',
    read: readExcluded,
  },
  virtual_routes: { koi: '`routes`, as far as they are `to`, `via`, `src`, `table`, `metric`', read: readRoutes },
  unicast_peer: { koi: '`unicast.peers`; `min_ttl` is `unicast.minTtl`', read: readPeers },
  unicast_src_ip: {
    koi: '`unicast.source`',
    read: (draft, directive) => {
      const [source = ''] = directive.values;
      if (!draft.has('unicast_peer')) {
        return draft.leave(directive, 'there is no unicast_peer, and multicast has no source of its own', 'remove it');
      }
      if (canonicalAddress(source) === undefined) {
        return draft.leave(directive, `'${source}' is no IP address`, 'correct it in the file');
      }
      draft.merge('unicast', { source }, directive);
    },
  },
  check_unicast_src: { koi: 'always so', read: carry },
  unicast_fault_no_peer: { koi: 'always so', read: carry },
  unicast_ttl: {
    koi: 'always 255',
    read: (draft, directive) => {
      if (directive.values[0] === '255') carry(draft, directive);
      else draft.leave(directive, 'Koi sends with 255', 'set min_ttl on the peers by that');
    },
  },
  authentication: {
    koi: '`vrrp2.auth` for `auth_type PASS` under VRRPv2; the password goes to a file',
    read: readPassword,
  },
  auth_hmac: { koi: '`authHmac`, one key; a key in the text goes to a file', read: readHmac },
  use_vmac: {
    koi: 'always so',
    read: (draft, directive) => {
      const named = directive.values.some((word) => /^[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){4,5}$/.test(word));
      if (named) draft.leave(directive, 'the virtual MAC is the one of the RFC', 'remove the MAC on every router');
      else if (directive.values.length === 0) carry(draft, directive);
      else draft.ledger.note(directive, 'Koi names its links itself', 'see koi status');
    },
  },
  use_vmac_addr: { koi: 'always so', read: carry },
  vmac_xmit_base: {
    koi: 'with `unicast` always so',
    read: (draft, directive) => {
      if (draft.has('unicast_peer')) carry(draft, directive);
      else draft.ledger.leave(directive);
    },
  },
  v3_checksum_as_v2: {
    koi: '`checksum: rfc9568`',
    read: (draft, directive) => {
      if (truth(directive.values[0]) === false) return carry(draft, directive);
      if (draft.version === 3 && draft.family === 4) return draft.set('checksum', 'rfc9568', directive);
      draft.leave(directive, 'only VRRP version 3 over IPv4 has two forms of checksum', 'remove it');
    },
  },
  track_interface: { koi: '`track` with `interface`; `weight`, by default 0', read: track('interface') },
  track_script: { koi: '`track` with `script`', read: track('script') },
  track_file: { koi: '`track` with `file`', read: track('file') },
  track_process: { koi: '`track` with `process`', read: track('process') },
  notify_master: { koi: '`hooks.postMaster`', read: () => undefined },
  notify_backup: { koi: '`hooks.postRelease`', read: () => undefined },
  notify: { koi: '`hooks.postMaster` and `hooks.postRelease`, with the four arguments it has', read: () => undefined },
};

/** An instance as an entry of `virtualRouters`; undefined where it cannot be one, which is listed. */
export function readInstance(
  directive: Directive,
  name: string,
  shared: Shared,
  group: Membership | undefined,
): readonly ImportedEntry[] | undefined {
  const draft = new InstanceDraft(directive, shared, group);
  const { ledger, findProgram, globals } = { ...shared };
  draft.set('name', name, directive);
  draft.set('protocol', draft.version === 3 ? 'vrrp3' : 'vrrp2', draft.allOf('version').at(-1) ?? directive);
  const said = directive.values[0] ?? '';
  if (name !== said) ledger.note(directive, `'${said}' cannot name a virtual router, so it is ${name}`, 'nothing');
  readEach(instanceReaders, draft, lastOfEach(draft.block, lists, ledger), ledger);
  const notified = { kind: 'INSTANCE', name: said, priority: draft.priority } as const;
  const hooks = readHooks(draft.block, notified, { ledger, findProgram, scriptUser: globals.scriptUser });
  if (hooks !== undefined) draft.set('hooks', hooks, directive);
  if (draft.isStrict() && draft.priority !== 255 && !draft.has('accept') && !draft.has('no_accept')) {
    draft.set('accept', false, draft.allOf('strict_mode').at(-1) ?? directive);
  }
  if (draft.peersFrom !== undefined) {
    const limit = draft.minTtl === undefined ? {} : { minTtl: draft.minTtl };
    draft.merge('unicast', { peers: draft.peers, ...limit }, draft.peersFrom);
    if (draft.minTtl === undefined && draft.peers.some((peer) => !isNear(peer, draft.valueOf('unicast_src_ip')))) {
      const reason = 'keepalived takes adverts of any TTL, Koi those of this link (255)';
      ledger.note(draft.peersFrom, reason, 'behind routers set unicast.minTtl to 255 less their number');
    }
  }
  if (group !== undefined) draft.set('syncGroup', group.name, group.directive);
  const fault = faultOf(draft);
  if (fault === undefined) return draft.entries;
  for (const key of draft.claimed) shared.addresses.delete(key);
  ledger.leave(directive, fault);
  return undefined;
}

/** Whether two addresses look like neighbours: their network's size is not in the file. */
function isNear(peer: string, own: string | undefined): boolean {
  const separator = peer.includes(':') ? ':' : '.';
  const network = (text: string): string =>
    text
      .split(separator)
      .slice(0, separator === ':' ? 4 : 3)
      .join();
  return own !== undefined && network(peer) === network(own);
}

function faultOf(draft: InstanceDraft): { reason: string; remedy: string } | undefined {
  const missing = (what: string, remedy: string) => ({ reason: `the instance has no ${what}`, remedy });
  const value = (key: string): unknown => draft.entries.find((entry) => entry.key === key)?.value;
  if (value('interface') === undefined) return missing('interface', 'add interface NAME');
  if (value('id') === undefined) return missing('virtual_router_id', 'add virtual_router_id, from 1 to 255');
  const addresses = value('addresses');
  if (!Array.isArray(addresses) || addresses.length === 0) {
    return missing('address that Koi could serve', 'give it a virtual_ipaddress');
  }
  return undefined;
}
