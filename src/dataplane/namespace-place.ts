import type { Logger } from 'pino';
import type { AttachHost } from '../attach/attachment.js';
import { monitorEcho } from '../attach/echo.js';
import { guardsStay, SegmentGuards } from '../attach/guards.js';
import { underGuardsLock } from '../attach/interface-locks.js';
import { removeLeftovers } from '../attach/leftovers.js';
import { LinkBin } from '../attach/link-bin.js';
import { NeighbourHush } from '../attach/neighbour-hush.js';
import { netnsInode } from '../kernel/host-identity.js';
import { dumpLinks } from '../kernel/links.js';
import { type KernelEvent, KernelMonitor } from '../kernel/monitor.js';
import { isKoiGroup, linkGroup } from '../kernel/names.js';
import { NETLINK_NETFILTER, NETLINK_ROUTE, Netlink } from '../kernel/netlink.js';
import { Netns, type NetnsSelector, netnsLabel } from '../kernel/netns.js';
import { silenceNeighbours } from '../kernel/nft-hush.js';
import { SysctlRecord, sysctlRecordPath } from '../kernel/sysctl-record.js';
import { KoiError } from '../koi-error.js';

/**
 * How often it is looked whether the namespace is there, and still the same. A container is to have its addresses back soon
 * after its start: a look takes a few system calls.
 */
const lookEveryMs = { name: 250, pid: 20, pidFile: 20 } as const;
/** What is being deleted in a namespace that is given up has this long. */
const settleDeadlineMs = 2000;
const remedy = 'if the namespace is still used, see there to net.ipv4.conf.*.arp_ignore and arp_announce by hand';

export interface NamespacePlaceOptions {
  readonly selector: NetnsSelector;
  readonly cluster: string;
  readonly boot: string;
  readonly stateDir: string;
  readonly nftTable: string;
  /** Where the parents are. */
  readonly parentNetlink: Netlink;
  readonly log: Logger;
  /** It has come, or is gone; `host` says which. */
  readonly onChange: () => void;
  readonly onEvent: (event: KernelEvent) => void;
  /** Packet filters, in a socket of the namespace. */
  readonly onFilter: (filter: Netlink) => void;
  /** Resolves when nobody works in it any more. */
  readonly settled: () => Promise<unknown>;
}

interface Opened {
  readonly netns: Netns;
  readonly netlink: Netlink;
  readonly filter: Netlink;
  readonly monitor: KernelMonitor;
  readonly guards: SegmentGuards;
  readonly host: AttachHost;
}

/**
 * Another network namespace that holds virtual IPs: a named one, or a container's. It may come later than Koi, go, and come
 * again as another one of the same name or file. One that was deleted is given up entirely, since it lives, with its links and addresses, for as long as
 * somebody has a socket in it.
 */
export class NamespacePlace {
  readonly name: string;
  readonly #options: NamespacePlaceOptions;
  #opened: Opened | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;
  #problem: string | undefined;

  constructor(options: NamespacePlaceOptions) {
    this.name = netnsLabel(options.selector);
    this.#options = options;
  }

  get lookEveryMs(): number {
    return lookEveryMs[this.#options.selector.by];
  }

  /** By which the guard finds it. */
  get path(): string | undefined {
    return this.#opened?.netns.path;
  }

  /** Undefined while there is no such namespace. */
  get host(): AttachHost | undefined {
    return this.#opened?.host;
  }

  get monitor(): KernelMonitor | undefined {
    return this.#opened?.monitor;
  }

  get guards(): SegmentGuards | undefined {
    return this.#opened?.guards;
  }

  /** The socket for packet filters there. */
  get filter(): Netlink | undefined {
    return this.#opened?.filter;
  }

  /** Why it cannot be used although it is there, for people. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Looks whether it is there, one look at a time. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (this.#closed) return;
    if (this.#opened === undefined) await this.#enter();
    else if (this.#opened.netns.state() !== 'present') await this.#leave(this.#opened);
  }

  /** For good: puts back what was changed in it. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#looking;
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    await this.#restore(opened, () => opened.guards.restore());
    release(opened);
  }

  async #enter(): Promise<void> {
    const { cluster, log, onChange, onFilter } = this.#options;
    let opened: Opened | undefined;
    try {
      opened = this.#open();
      if (opened === undefined) return;
      const leftovers = await removeLeftovers(opened.netlink, cluster, opened.netns);
      if (leftovers.links.length + leftovers.addresses.length > 0) {
        log.warn({ ...leftovers, namespace: this.name }, 'removed what an earlier run had left in the namespace');
      }
      if (this.#closed) throw new Error('koi is stopping');
      onFilter(opened.filter);
      opened.monitor.start();
      this.#opened = opened;
      this.#problem = undefined;
      log.info({ namespace: this.name }, 'the namespace is there');
      onChange();
    } catch (error) {
      if (opened !== undefined) release(opened);
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#problem) log.error({ namespace: this.name, err: error }, 'the namespace cannot be used');
      this.#problem = problem;
    }
  }

  #open(): Opened | undefined {
    const { selector, boot, stateDir, nftTable, parentNetlink, onEvent } = this.#options;
    const netns = Netns.open(selector);
    if (netns === undefined) return undefined;
    const sockets: { close(): void }[] = [netns];
    try {
      if (netns.inode === netnsInode()) {
        throw new KoiError('config', `koi itself runs in network namespace ${this.name}`, {
          remedy: 'remove namespace from the virtual router, or run koi where the interface of the adverts is',
        });
      }
      const netlink = Netlink.open(NETLINK_ROUTE, netns);
      sockets.push(netlink);
      const filter = Netlink.open(NETLINK_NETFILTER, netns);
      sockets.push(filter);
      const monitor = KernelMonitor.open({ netns });
      sockets.push(monitor);
      monitor.on(onEvent);
      const record = SysctlRecord.open(sysctlRecordPath(stateDir, selector), netns);
      const guards = new SegmentGuards(monitor, record, { netns, filter });
      const neighbourHush = new NeighbourHush({
        silence: (addresses) => silenceNeighbours(nftTable, addresses, filter),
        listen: (listener) => monitor.on(listener),
      });
      const host: AttachHost = {
        netlink,
        netns,
        parentNetlink,
        echo: monitorEcho(monitor),
        bin: new LinkBin(netlink, linkGroup('discarded links', boot)),
        guards: () => guards.demand(undefined),
        hush: (link, hushed) => {
          guards.hush(link, hushed);
          neighbourHush.set(link.ifindex, link.ipv6, hushed);
        },
      };
      return { netns, netlink, filter, monitor, guards, host };
    } catch (error) {
      for (const socket of sockets.reverse()) socket.close();
      throw error;
    }
  }

  async #leave(opened: Opened): Promise<void> {
    const { log, onChange, settled } = this.#options;
    this.#opened = undefined;
    log.warn({ namespace: this.name }, 'the namespace is gone, and the virtual IPs in it');
    onChange();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, settleDeadlineMs);
    });
    await Promise.race([settled(), late]);
    clearTimeout(timer);
    await this.#giveBack(opened);
    release(opened);
  }

  /**
   * A namespace that a process leaves, or that was only unnamed, may live on with others in it: they get back the settings of
   * before. Not while anything of Koi's is still in it, since an address must never be there without its guards.
   */
  #giveBack(opened: Opened): Promise<void> {
    return this.#restore(opened, () => {
      const { netlink, guards } = opened;
      const links = dumpLinks(netlink);
      if (!links.ok) throw new KoiError('kernel', `reading the interfaces: ${links.message}`);
      const left = links.value.filter(({ group }) => isKoiGroup(group)).map(({ name }) => name);
      if (left.length === 0) return guards.restore();
      this.#options.log.warn(
        { namespace: this.name, links: left, remedy },
        'links of koi are still in the namespace: its guards stay',
      );
      return guards.leave();
    });
  }

  /** Never rejects: what cannot be put back is told, and stays on record. */
  async #restore({ netns, guards }: Opened, act: () => string | undefined): Promise<void> {
    const { log } = this.#options;
    try {
      const problem = await underGuardsLock(netns, act);
      if (problem !== undefined) log.warn({ namespace: this.name, problem }, guardsStay);
    } catch (error) {
      guards.abandon();
      log.warn({ namespace: this.name, err: error, remedy }, 'the settings of the namespace could not be put back');
    }
  }
}

/** The links go with the last of these, if the namespace was deleted. */
function release({ netns, netlink, filter, monitor }: Opened): void {
  monitor.close();
  filter.close();
  netlink.close();
  netns.close();
}
