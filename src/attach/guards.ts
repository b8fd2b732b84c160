import type { Link } from '../kernel/link.js';
import type { KernelMonitor } from '../kernel/monitor.js';
import { isKoiGroup } from '../kernel/names.js';
import { type ConfKey, confPath, readSysctlIfPresent } from '../kernel/sysctl.js';
import type { ConfScope, SysctlRecord } from '../kernel/sysctl-record.js';
import { KoiError } from '../koi-error.js';

const ethernet = 1;

/** What must be in force on an interface so that it never answers or asks with a VIP and its own MAC. */
const required: readonly { readonly key: ConfKey; readonly value: number }[] = [
  { key: 'arp_ignore', value: 1 },
  { key: 'arp_announce', value: 2 },
];

/** A setting that was found changed behind our back. */
export interface Drift {
  readonly interface: string;
  readonly key: ConfKey;
  readonly found: number;
  readonly repaired: boolean;
}

/**
 * Step 2 of the attach: before any virtual IP exists on this host, no interface of it may answer or ask for one with its
 * own MAC. `arp_ignore` and `arp_announce` are set on every Ethernet interface of the namespace, since the kernel does
 * not say which of them share a segment, and on `default`, so that an interface that appears is born with them.
 *
 * What stood there before is recorded first and put back at the end.
 */
export class SegmentGuards {
  readonly #monitor: KernelMonitor;
  readonly #record: SysctlRecord;
  readonly #covered = new Set<number>();
  readonly #stopListening: () => void;

  constructor(monitor: KernelMonitor, record: SysctlRecord) {
    this.#monitor = monitor;
    this.#record = record;
    this.#stopListening = monitor.on((event) => {
      if (event.type === 'linkGone') this.#covered.delete(event.link.ifindex);
      else if (event.type === 'link' && event.previous === undefined && this.#covered.size > 0)
        this.#cover([event.link]);
    });
  }

  /**
   * Puts the guards in force, and proves it for this parent.
   * @returns what was read back.
   * @throws KoiError `attach`, naming the sysctl and the remedy.
   */
  demand(parentIfindex: number): string {
    const uncovered = [...this.#monitor.links.values()].filter((link) => !this.#covered.has(link.ifindex));
    if (uncovered.length > 0) this.#cover(uncovered);
    const parent = this.#monitor.links.get(parentIfindex);
    if (parent === undefined) throw new KoiError('attach', `interface ${parentIfindex} is gone`);
    refuseHostileAll();
    for (const { key, value } of required) {
      const inForce = effective(parent.name, key);
      if (inForce === value) continue;
      throw new KoiError('attach', `net.ipv4.conf.${parent.name}.${key} is ${inForce} in force, ${value} is needed`, {
        remedy: `sysctl -w net.ipv4.conf.${parent.name}.${key}=${value}, and see who changes it`,
      });
    }
    return `${parent.name}: arp_ignore 1, arp_announce 2 in force; ${this.#covered.size} interfaces covered`;
  }

  /** Looks whether the settings still stand, and sets them again where not. They change without any event. */
  audit(): readonly Drift[] {
    const drifts: Drift[] = [];
    for (const ifindex of this.#covered) {
      const link = this.#monitor.links.get(ifindex);
      if (link === undefined) continue;
      for (const { key, value } of required) {
        const found = readConf(link.name, key);
        if (found === undefined || found >= value) continue;
        drifts.push({ interface: link.name, key, found, repaired: this.#repair(link, key, value) });
      }
    }
    return drifts;
  }

  /** Puts back what stood there before. */
  restore(): void {
    this.#stopListening();
    this.#covered.clear();
    this.#record.restore((ifindex) => this.#monitor.links.get(ifindex)?.name);
  }

  #cover(links: readonly Link[]): void {
    const guarded = links.filter((link) => needsGuards(link));
    const scopes: ConfScope[] = guarded.map(({ ifindex, name }) => ({ ifindex, name }));
    if (this.#covered.size === 0) scopes.unshift('default');
    this.#record.apply(scopes.flatMap((scope) => required.map(({ key, value }) => ({ scope, key, value }))));
    for (const { ifindex } of guarded) this.#covered.add(ifindex);
  }

  #repair(link: Link, key: ConfKey, value: number): boolean {
    try {
      this.#record.apply([{ scope: { ifindex: link.ifindex, name: link.name }, key, value }]);
      return readConf(link.name, key) === value;
    } catch {
      // The caller withdraws the addresses of a parent that cannot be guarded; the drift says which.
      return false;
    }
  }
}

/** Koi's own links get their settings in the step that makes them. */
const needsGuards = (link: Link): boolean => link.hardwareType === ethernet && !isKoiGroup(link.group);

function readConf(name: string, key: ConfKey): number | undefined {
  const text = readSysctlIfPresent(confPath(name, key));
  return text === undefined ? undefined : Number(text);
}

/** The kernel uses the larger of `all` and the interface's own (ip-sysctl). */
function effective(name: string, key: ConfKey): number {
  return Math.max(readConf('all', key) ?? 0, readConf(name, key) ?? 0);
}

/** Values of `all` that make a virtual IP dead on its link, whatever is set there. */
function refuseHostileAll(): void {
  const ignore = readConf('all', 'arp_ignore') ?? 0;
  if (ignore > 1) {
    throw new KoiError('attach', `net.ipv4.conf.all.arp_ignore is ${ignore}: a virtual IP would answer nobody`, {
      remedy: 'sysctl -w net.ipv4.conf.all.arp_ignore=1 (or 0)',
    });
  }
}
