import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type AttachHost, Attachment, type AttachSpec } from '../../src/attach/attachment.js';
import { monitorEcho } from '../../src/attach/echo.js';
import { SegmentGuards } from '../../src/attach/guards.js';
import { underGuardsLock } from '../../src/attach/interface-locks.js';
import { LinkBin } from '../../src/attach/link-bin.js';
import { NeighbourHush } from '../../src/attach/neighbour-hush.js';
import { AdvertMemory } from '../../src/dataplane/advert-memory.js';
import { LanWatch } from '../../src/dataplane/lan-watch.js';
import { NamespacePlace } from '../../src/dataplane/namespace-place.js';
import { ParentPort } from '../../src/dataplane/parent-port.js';
import { heldLocks } from '../../src/kernel/lock.js';
import { KernelMonitor } from '../../src/kernel/monitor.js';
import { linkGroup, nftTableName } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { installArpGuard, removeArpGuard } from '../../src/kernel/nft-arp-net.js';
import { silenceNeighbours } from '../../src/kernel/nft-hush.js';
import type { NftResult } from '../../src/kernel/nft-message.js';
import { installNeighbourGuard, removeNeighbourGuard } from '../../src/kernel/nft-neighbour-net.js';
import { SysctlRecord, sysctlRecordPath } from '../../src/kernel/sysctl-record.js';
import { familyOf } from '../../src/wire/address.js';
import { milliseconds } from '../kernel/cable.js';
import { cluster } from './host.js';

const nftTable = nftTableName(cluster, 'r1');

/** Everything that a dataplane has of the kernel for one virtual router, without the dataplane. */
export class FaultStage {
  readonly directory = mkdtempSync(join(tmpdir(), 'koi-faults-'));
  readonly #spec: AttachSpec;
  readonly #netlink: Netlink;
  readonly #monitor: KernelMonitor;
  readonly #hush: NeighbourHush;
  readonly #port: ParentPort;
  readonly #place: NamespacePlace | undefined;
  guards: SegmentGuards;
  #attachment: Attachment | undefined;

  /** @param namespace where the addresses are, if not in our own */
  constructor(parentName: string, spec: AttachSpec, namespace?: string) {
    this.#spec = spec;
    this.#netlink = Netlink.open();
    this.#monitor = KernelMonitor.open();
    this.#monitor.start();
    this.guards = this.#newGuards();
    this.#hush = new NeighbourHush({
      silence: (addresses) => silenceNeighbours(nftTable, addresses),
      listen: (listener) => this.#monitor.on(listener),
    });
    this.#port = new ParentPort({
      selector: { by: 'name', value: parentName },
      monitor: this.#monitor,
      netlink: this.#netlink,
      virtualAddresses: new Set(spec.addresses),
      beforeFrames: () => undefined,
      refusals: { refused: () => undefined } as never,
      onWarning: () => undefined,
      memory: new AdvertMemory(parentName, { set: () => undefined }),
      watch: new LanWatch({
        key: parentName,
        scheduler: { set: () => undefined },
        now: () => performance.now(),
        beforeFrames: () => undefined,
      }),
    });
    this.#port.watch.add({
      vips: new Map(spec.addresses.map((address) => [address, spec.virtualMac])),
      virtualMacs: new Set([spec.virtualMac]),
      id: 51,
      claimed: () => undefined,
      spoken: () => undefined,
      probed: () => undefined,
    });
    this.#place = namespace === undefined ? undefined : this.#namespacePlace(namespace);
  }

  #newGuards(): SegmentGuards {
    return new SegmentGuards(this.#monitor, SysctlRecord.open(sysctlRecordPath(this.directory)));
  }

  #namespacePlace(value: string): NamespacePlace {
    return new NamespacePlace({
      selector: { by: 'name', value },
      cluster,
      boot: 'boot1',
      stateDir: this.directory,
      nftTable,
      parentNetlink: this.#netlink,
      log: pino({ level: 'silent' }),
      onChange: () => undefined,
      onEvent: () => undefined,
      onFilter: (filter) => void this.#installNet(filter),
      settled: () => this.#attachment?.settled ?? Promise.resolve(),
    });
  }

  #installNet(within?: Netlink): NftResult {
    const { addresses, virtualMac: mac, group } = this.#spec;
    const bindings = (family: 4 | 6) =>
      addresses.filter((address) => familyOf(address) === family).map((address) => ({ address, mac }));
    const arp = installArpGuard(nftTable, bindings(4), undefined, within);
    const neighbours = installNeighbourGuard(nftTable, group, bindings(6), undefined, within);
    return arp.ok ? neighbours : arp;
  }

  get attachment(): Attachment {
    if (this.#attachment === undefined) throw new Error('nothing was entered');
    return this.#attachment;
  }

  get isEntered(): boolean {
    return this.#attachment !== undefined;
  }

  get parentIfindex(): number {
    return this.#port.state.ifindex ?? 0;
  }

  /** Where the addresses are. */
  get place(): Netlink {
    return this.#place?.host?.netlink ?? this.#netlink;
  }

  get monitor(): KernelMonitor {
    return this.#place?.monitor ?? this.#monitor;
  }

  /** Opens the sockets on the parent. */
  async bind(): Promise<void> {
    await this.#port.begin(() => Promise.resolve());
    const { fault } = this.#port.state;
    if (fault !== undefined) throw new Error(fault);
  }

  /** The guards and the net are in force; in the other namespace, if it is there. */
  async enter(): Promise<void> {
    if (this.#place === undefined) {
      const net = this.#installNet();
      if (!net.ok) throw new Error(net.reason);
      this.guards.demand(this.parentIfindex);
    } else {
      await this.#place.look();
      if (this.#place.host === undefined) throw new Error(this.#place.problem);
    }
    this.#attachment = new Attachment({
      ...(this.#place?.host ?? this.#ownHost()),
      spec: this.#spec,
      now: () => performance.now(),
      pause: milliseconds,
      register: () => Promise.resolve(),
      duplicates: () => Promise.resolve('nobody else has it'),
    });
  }

  #ownHost(): AttachHost {
    return {
      netlink: this.#netlink,
      echo: monitorEcho(this.#monitor),
      bin: new LinkBin(this.#netlink, linkGroup(cluster, 'bin')),
      guards: (ifindex) => this.guards.demand(ifindex),
      hush: (link, hushed) => {
        this.guards.hush(link, hushed);
        this.#hush.set(link.ifindex, link.ipv6, hushed);
      },
    };
  }

  /** Gives back what is in the kernel. */
  async leave(): Promise<void> {
    this.#hush.close();
    if (this.#place === undefined) {
      removeNet();
      await underGuardsLock(undefined, () => this.guards.restore());
      return;
    }
    if (this.#place.filter !== undefined) {
      silenceNeighbours(nftTable, [], this.#place.filter);
      removeNet(this.#place.filter);
    }
    await this.#place.close();
  }

  /** What the next run finds on record, and puts back. */
  async leaveAgain(): Promise<void> {
    if (this.#place === undefined) {
      this.guards = this.#newGuards();
      removeNet();
      this.guards.restore();
      return;
    }
    const next = this.#namespacePlace(this.#place.name);
    await next.look();
    if (next.filter !== undefined) removeNet(next.filter);
    await next.close();
  }

  close(): void {
    this.#port.watch.bind(undefined);
    this.#port.retire();
    this.#monitor.close();
    this.#netlink.close();
    rmSync(this.directory, { recursive: true });
  }
}

function removeNet(within?: Netlink): void {
  removeArpGuard(nftTable, within);
  removeNeighbourGuard(nftTable, within);
}

/** What this process has of the kernel: descriptors, sockets by their kind, locks, timers. */
export function heldByProcess(): Readonly<Record<string, number>> {
  const held: Record<string, number> = { locks: heldLocks(), descriptors: 0 };
  const add = (what: string): void => {
    held[what] = (held[what] ?? 0) + 1;
  };
  const protocols = new Map(
    ['netlink', 'packet', 'unix', 'raw', 'raw6'].flatMap((protocol) =>
      readFileSync(`/proc/thread-self/net/${protocol}`, 'utf8')
        .split('\n')
        .flatMap((line) =>
          line
            .trim()
            .split(/\s+/)
            .map((word) => [word, protocol] as const),
        ),
    ),
  );
  for (const fd of readdirSync('/proc/self/fd')) {
    let target: string;
    try {
      target = readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The one by which the directory was read.
      continue;
    }
    held.descriptors = (held.descriptors ?? 0) + 1;
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    add(inode === undefined ? target.replace(/\d+/g, 'N') : `socket ${protocols.get(inode) ?? 'elsewhere'}`);
  }
  if (timers.size > 0) held.timers = timers.size;
  return held;
}

/** Those that have neither fired nor been cleared; vitest has its own `setTimeout` from before. */
const timers = new Set<unknown>();
const { setTimeout: setReal, clearTimeout: clearReal } = globalThis;
globalThis.setTimeout = ((act: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
  const timer = setReal(() => {
    timers.delete(timer);
    act(...args);
  }, ms);
  timers.add(timer);
  return timer;
}) as typeof setTimeout;
globalThis.clearTimeout = (timer) => {
  timers.delete(timer);
  clearReal(timer);
};
