import type { Ipv4Conf, Link } from '../kernel/link.js';
import { LockSequence } from '../kernel/lock.js';
import type { KernelMonitor } from '../kernel/monitor.js';
import { isKoiGroup } from '../kernel/names.js';
import type { Netlink } from '../kernel/netlink.js';
import type { Netns } from '../kernel/netns.js';
import { type ConfKey, confPath, readSysctlIfPresent, writeSysctl } from '../kernel/sysctl.js';
import type { ConfScope, SavedSetting, SysctlRecord } from '../kernel/sysctl-record.js';
import { KoiError } from '../koi-error.js';
import { leaveToOthers, putBack } from './give-back.js';
import { GuardUser, isGuarded } from './guard-user.js';
import { guardsLock } from './interface-locks.js';
import { linkRpFilter, strictRpFilter } from './virtual-mac-link.js';

const ethernet = 1;
/** How a link's own settings are called where the kernel tells of all links at once. */
const confNames: Readonly<Record<ConfKey, keyof Ipv4Conf>> = {
  accept_local: 'acceptLocal',
  arp_announce: 'arpAnnounce',
  arp_filter: 'arpFilter',
  arp_ignore: 'arpIgnore',
  arp_notify: 'arpNotify',
  rp_filter: 'rpFilter',
};
/** Not for any local address (ip-sysctl). */
const answersNothing = 8;

/** The settings of fewer interfaces are read from files. */
const askedAtOnceLeast = 50;

interface Guard {
  readonly key: ConfKey;
  readonly value: number;
  /** What is as good when it is in force, the larger of `all` and the interface's own. */
  readonly safe: readonly number[];
  /** Values of `all` beside which a virtual IP works. */
  readonly inAll: readonly number[];
  readonly whyNotInAll: string;
}

/**
 * What must be in force on an interface so that it never answers or asks with a VIP and its own MAC. The kernel takes
 * numbers it does not know for 0, and arp_ignore 3 still answers for the addresses of other interfaces (net/ipv4/arp.c,
 * arp_ignore() and arp_solicit()).
 */
const required: readonly Guard[] = [
  {
    key: 'arp_ignore',
    value: 1,
    safe: [1, 2, 8],
    inAll: [0, 1],
    whyNotInAll: 'a virtual IP would answer nobody, or every interface for it',
  },
  {
    key: 'arp_announce',
    value: 2,
    safe: [2],
    inAll: [0, 1, 2],
    whyNotInAll: 'the kernel does not know this value, and every interface would ask with any address',
  },
];

/** A setting that was found changed behind our back. */
export interface Drift {
  /** Interface name, or `all`. */
  readonly interface: string;
  readonly key: ConfKey;
  /** The interface's own; of `rp_filter` what is in force there, since `all` alone may have made it so. */
  readonly found: number;
  readonly repaired: boolean;
}

/** What is said where what was there before can be told to nobody. */
export const guardsStay =
  'another koi relies on the guards and cannot be told what they were before; koi clean puts them back once it has ended';

export interface GuardPlace {
  readonly netns: Netns;
  /** A socket for packet filters in it. */
  readonly filter: Netlink;
}

/**
 * Step 2 of the attach: before any virtual IP exists on this host, no interface of it may answer or ask for one with its
 * own MAC. `arp_ignore` and `arp_announce` are set on every Ethernet interface of the namespace, since the kernel does
 * not say which of them share a segment, and on `default`, so that an interface that appears is born with them.
 *
 * What stood there before is recorded first and put back at the end, by the last who relies on it. Koi's own links are not
 * covered: the step that makes them sets them, and they are deleted. They are audited.
 */
export class SegmentGuards {
  readonly #monitor: KernelMonitor;
  readonly #record: SysctlRecord;
  readonly #netns: Netns | undefined;
  readonly #filter: Netlink | undefined;
  readonly #covered = new Set<number>();
  /** Born with the values of `default` while Koi had set those: on no record, since they were never different. */
  readonly #bornGuarded = new Set<number>();
  /** Those of Koi's own links that answer nothing for now. */
  readonly #hushed = new Set<number>();
  readonly #stopListening: () => void;
  #inForce = false;
  #user: GuardUser | undefined;

  /** @param place that of the monitor and the record, if not our own */
  constructor(monitor: KernelMonitor, record: SysctlRecord, place?: GuardPlace) {
    this.#monitor = monitor;
    this.#record = record;
    this.#netns = place?.netns;
    this.#filter = place?.filter;
    this.#stopListening = monitor.on((event) => {
      if (event.type === 'linkGone') {
        this.#covered.delete(event.link.ifindex);
        this.#bornGuarded.delete(event.link.ifindex);
        this.#hushed.delete(event.link.ifindex);
      } else if (event.type === 'link' && this.#inForce && needsGuards(event.link)) {
        try {
          this.#cover([event.link]);
        } catch {
          // Within the monitor nobody could act on it: the next audit or attach meets it again and tells.
        }
      }
    });
  }

  /**
   * Puts the guards in force, and proves it for this parent; undefined where the parent is in another namespace, and so
   * has none of the addresses.
   * @returns what was read back.
   * @throws KoiError `attach`, naming the sysctl and the remedy; `privilege` where it cannot be set.
   */
  demand(parentIfindex: number | undefined): string {
    const parent = parentIfindex === undefined ? undefined : this.#monitor.links.get(parentIfindex);
    if (parent === undefined && parentIfindex !== undefined) {
      throw new KoiError('attach', `interface ${parentIfindex} is gone`);
    }
    this.#cover([...this.#monitor.links.values()].filter(needsGuards));
    for (const guard of required) {
      const { key, value, inAll, whyNotInAll } = guard;
      const all = this.#readConf('all', key) ?? 0;
      if (!inAll.includes(all)) {
        throw new KoiError('attach', `net.ipv4.conf.all.${key} is ${all}: ${whyNotInAll}`, {
          remedy: `sysctl -w net.ipv4.conf.all.${key}=${value}`,
        });
      }
      if (parent === undefined) continue;
      const found = this.#readConf(parent.name, key);
      if (this.#isSafe(parent, guard, all, found) || this.#repair(parent, guard)) continue;
      throw new KoiError('attach', `net.ipv4.conf.${parent.name}.${key} is ${found}, ${value} is needed`, {
        remedy: `sysctl -w net.ipv4.conf.${parent.name}.${key}=${value}, and see who changes it`,
      });
    }
    const where = parent?.name ?? `namespace ${this.#netns?.name}`;
    return `${where}: arp_ignore 1, arp_announce 2 in force; ${this.#covered.size} interfaces covered`;
  }

  /**
   * Looks whether the settings still stand, and sets them again where not. They change without any event. What a value
   * of `all` spoils cannot be repaired at an interface: then `all` and every interface are in the list. An `rp_filter` that
   * became strict can: Koi's own links are made loose beside it, and `all` is left to whoever set it.
   */
  audit(): readonly Drift[] {
    if (!this.#inForce) return [];
    const drifts: Drift[] = [];
    const own = this.#ownConfs();
    for (const guard of required) {
      const { key, inAll } = guard;
      const all = this.#readConf('all', key) ?? 0;
      const isBearable = inAll.includes(all);
      if (!isBearable) drifts.push({ interface: 'all', key, found: all, repaired: false });
      for (const link of this.#monitor.links.values()) {
        if (link.hardwareType !== ethernet || isKoiBackup(link)) continue;
        const found = own(link, key);
        if (found === undefined || (isBearable && this.#isSafe(link, guard, all, found))) continue;
        drifts.push({ interface: link.name, key, found, repaired: isBearable && this.#repair(link, guard) });
      }
    }
    return [...drifts, ...this.#strictLinks(own)];
  }

  /**
   * One question to the kernel about all interfaces, where a file for each setting of each would be hundreds. It waits for
   * whoever changes interfaces meanwhile, which the files do not: a backup, whose own links need no look, reads those.
   */
  #ownConfs(): (link: Link, key: ConfKey) => number | undefined {
    const looked = [...this.#monitor.links.values()].filter((link) => !isKoiBackup(link)).length;
    const confs = looked < askedAtOnceLeast ? undefined : this.#monitor.ipv4Confs();
    if (confs?.ok !== true) return ({ name }, key) => this.#readConf(name, key);
    return ({ ifindex }, key) => confs.value.get(ifindex)?.[confNames[key]];
  }

  #strictLinks(ownConf: (link: Link, key: ConfKey) => number | undefined): Drift[] {
    const key = 'rp_filter';
    const all = this.#readConf('all', key) ?? 0;
    return [...this.#monitor.links.values()].flatMap((link) => {
      if (!isKoiGroup(link.group) || isKoiBackup(link)) return [];
      const own = ownConf(link, key);
      if (own === undefined || Math.max(all, own) !== strictRpFilter) return [];
      return { interface: link.name, key, found: strictRpFilter, repaired: this.#loosen(link) };
    });
  }

  #loosen({ name }: Link): boolean {
    try {
      writeSysctl(confPath(name, 'rp_filter'), String(linkRpFilter(this.#netns)), this.#netns);
      const [all, own] = ['all', name].map((scope) => this.#readConf(scope, 'rp_filter'));
      return own !== undefined && Math.max(all ?? 0, own) !== strictRpFilter;
    } catch {
      // As with a guard: the caller withdraws the addresses, which nobody reaches.
      return false;
    }
  }

  /**
   * Has one of Koi's own links answer no ARP request any more, or again. What is sent to its addresses still arrives. Set
   * as a sysctl: a change of the link by netlink would have the kernel report its multicast groups, from its MAC.
   * @throws KoiError naming the sysctl; then it answers as before
   */
  hush({ ifindex, name }: Pick<Link, 'ifindex' | 'name'>, hushed: boolean): void {
    const value = hushed ? answersNothing : 1;
    writeSysctl(confPath(name, 'arp_ignore'), String(value), this.#netns);
    if (hushed) this.#hushed.add(ifindex);
    else this.#hushed.delete(ifindex);
  }

  /** Nothing is put back, and nothing watched any more. */
  abandon(): void {
    this.#stopListening();
    this.#inForce = false;
    this.#covered.clear();
    this.#bornGuarded.clear();
    this.#user?.leave();
    this.#user = undefined;
  }

  /**
   * Puts back what stood there before, unless somebody else still relies on it.
   * @returns why who leaves last will not find what stood there before, for people
   * @throws KoiError `kernel`, `privilege`; what was not put back stays on record, and nothing is watched any more
   */
  restore(): string | undefined {
    return this.#settling(() => {
      try {
        if (isGuarded(this.#netns, this.#user)) return this.leave();
        const nameOf = (ifindex: number): string | undefined => this.#monitor.links.get(ifindex)?.name;
        putBack(this.#record, { filter: this.#filter, nameOf, more: () => this.#bornSettings() });
        return undefined;
      } finally {
        this.abandon();
      }
    });
  }

  /** Leaves the settings in force, and what stood there before to whoever leaves last. @returns as `restore` */
  leave(): string | undefined {
    try {
      return leaveToOthers(this.#record, { filter: this.#filter, more: () => this.#bornSettings() });
    } finally {
      this.abandon();
    }
  }

  /** Interfaces that were born with the guards would else have been born with what stood in `default` before. */
  #bornSettings(): SavedSetting[] {
    return [...this.#bornGuarded].flatMap((ifindex) => {
      const name = this.#monitor.links.get(ifindex)?.name;
      if (name === undefined) return [];
      return required.flatMap(({ key, value }) => {
        const original = this.#record.originalOf('default', key);
        return original === undefined
          ? []
          : { scope: { ifindex, name }, key, ours: String(value), original: String(original) };
      });
    });
  }

  /**
   * What is there is read, recorded and changed while no other process does so. Where one has the lock now, or it cannot be
   * asked for, it is done all the same: a guard that is late costs more than a record that is not exact, and the next audit looks again.
   */
  #settling<T>(act: () => T): T {
    const sequence = new LockSequence();
    try {
      sequence.demand(guardsLock(this.#netns), 'process');
    } catch (error) {
      if (!(error instanceof KoiError) || error.code === 'internal') throw error;
    }
    try {
      return act();
    } finally {
      sequence.end();
    }
  }

  #cover(links: readonly Link[]): void {
    // One that vanished or was renamed a moment ago has no settings under this name; its event is on the way.
    const missing = links.filter(({ ifindex, name }) => !this.#covered.has(ifindex) && this.#hasConf(name));
    const born = this.#inForce ? missing.filter(({ name }) => this.#isAsRequired(name)) : [];
    const scopes: ConfScope[] = missing.map(({ ifindex, name }) => ({ ifindex, name }));
    if (!this.#inForce) scopes.unshift('default');
    if (scopes.length === 0) return;
    // Seen by others before what is there is looked at.
    this.#user ??= new GuardUser(this.#netns);
    const changes = scopes.flatMap((scope) => required.map(({ key, value }) => ({ scope, key, value })));
    this.#settling(() => this.#record.apply(changes));
    this.#inForce = true;
    for (const { ifindex } of missing) this.#covered.add(ifindex);
    for (const { ifindex } of born) this.#bornGuarded.add(ifindex);
  }

  #repair(link: Link, guard: Guard): boolean {
    const { key, value } = guard;
    try {
      const scope = { ifindex: link.ifindex, name: link.name };
      if (isKoiGroup(link.group))
        writeSysctl(confPath(link.name, key), String(this.#ownValue(link, guard)), this.#netns);
      else this.#settling(() => this.#record.apply([{ scope, key, value }]));
      return this.#isSafe(link, guard, this.#readConf('all', key) ?? 0, this.#readConf(link.name, key));
    } catch {
      // The caller withdraws the addresses of a parent that cannot be guarded; the drift says which.
      return false;
    }
  }

  /** The kernel uses the larger of `all` and the interface's own (ip-sysctl). On Koi's own link the VIP must answer. */
  #isSafe(link: Link, guard: Guard, all: number, own: number | undefined): boolean {
    const inForce = Math.max(all, own ?? 0);
    return isKoiGroup(link.group) ? inForce === this.#ownValue(link, guard) : guard.safe.includes(inForce);
  }

  #ownValue({ ifindex }: Link, { key, value }: Guard): number {
    return key === 'arp_ignore' && this.#hushed.has(ifindex) ? answersNothing : value;
  }

  #hasConf(name: string): boolean {
    return required.every(({ key }) => this.#readConf(name, key) !== undefined);
  }

  #isAsRequired(name: string): boolean {
    return required.every(({ key, value }) => this.#readConf(name, key) === value);
  }

  #readConf(name: string, key: ConfKey): number | undefined {
    const text = readSysctlIfPresent(confPath(name, key), this.#netns);
    return text === undefined ? undefined : Number(text);
  }
}

const needsGuards = (link: Link): boolean => link.hardwareType === ethernet && !isKoiGroup(link.group);

/** In backup a virtual-MAC link is down, hears nothing, and is read back whole before it comes up. */
const isKoiBackup = (link: Link): boolean => isKoiGroup(link.group) && !link.flags.up;
