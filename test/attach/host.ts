import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Attachment, type AttachmentOptions, type AttachSpec } from '../../src/attach/attachment.js';
import { monitorEcho } from '../../src/attach/echo.js';
import { SegmentGuards } from '../../src/attach/guards.js';
import { LinkBin } from '../../src/attach/link-bin.js';
import { NeighbourHush } from '../../src/attach/neighbour-hush.js';
import { type Address, AddressRenewals, dumpAddresses } from '../../src/kernel/addresses.js';
import { deleteLink, dumpLinks, type Link } from '../../src/kernel/links.js';
import { KernelMonitor } from '../../src/kernel/monitor.js';
import { aliasOf, isKoiGroup, linkGroup, nftTableName, virtualMacLinkName } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { silenceNeighbours } from '../../src/kernel/nft-hush.js';
import { SysctlRecord } from '../../src/kernel/sysctl-record.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { type Cable, good, layCable, milliseconds } from '../kernel/cable.js';

export const cluster = 'edge';
const boot = 'boot1';
const nftTable = nftTableName(cluster, 'r1');

/** The virtual router `gw<id>` of this host. */
export function specOf(id: number, addresses: readonly string[] = [`10.77.0.${200 + id}`]): AttachSpec {
  const vr = `gw${id}`;
  return {
    vr,
    linkName: virtualMacLinkName(cluster, vr, id),
    alias: aliasOf({ cluster, vr, bootId: boot }),
    group: linkGroup(cluster, 'r1'),
    virtualMac: vrrpVirtualMac(4, id),
    addresses,
  };
}

/** What the dataplane has for its virtual routers, without the dataplane. */
export class Host {
  readonly netlink = Netlink.open();
  readonly monitor = KernelMonitor.open();
  readonly bin = new LinkBin(this.netlink, linkGroup(cluster, 'bin'));
  readonly #directory: string;
  readonly guards: SegmentGuards;
  readonly neighbourHush = new NeighbourHush({
    silence: (addresses) => silenceNeighbours(nftTable, addresses),
    listen: (listener) => this.monitor.on(listener),
  });

  /** @param directory with the record of an earlier run, if there was one */
  constructor(directory = mkdtempSync(join(tmpdir(), 'koi-attach-'))) {
    this.#directory = directory;
    this.guards = new SegmentGuards(this.monitor, SysctlRecord.open(join(directory, 'sysctl.json')));
    this.monitor.start();
  }

  /** As the dataplane does for all of its attachments at once. @returns those that the kernel no longer has */
  renew(attachment: Attachment): readonly string[] {
    const renewals = new AddressRenewals();
    this.monitor.drain();
    const missing = attachment.renew(renewals);
    renewals.send();
    return missing;
  }

  attachment(spec: AttachSpec, options: Partial<AttachmentOptions> = {}): Attachment {
    return new Attachment({
      spec,
      netlink: this.netlink,
      echo: monitorEcho(this.monitor),
      bin: this.bin,
      now: () => performance.now(),
      pause: milliseconds,
      guards: (ifindex) => this.guards.demand(ifindex),
      hush: (link, hushed) => {
        this.guards.hush(link, hushed);
        this.neighbourHush.set(link.ifindex, link.ipv6, hushed);
      },
      register: () => Promise.resolve(),
      ...options,
    });
  }

  links(): Link[] {
    return good(dumpLinks(this.netlink));
  }

  /** Koi's own links, whoever made them. */
  koiLinks(): Link[] {
    return this.links().filter(({ group }) => isKoiGroup(group));
  }

  addressesOf(ifindex: number | undefined): Address[] {
    return good(dumpAddresses(this.netlink)).filter((address) => address.ifindex === ifindex);
  }

  /** Every interface's entries of these addresses. */
  holders(addresses: readonly string[]): Address[] {
    return good(dumpAddresses(this.netlink)).filter(({ address }) => addresses.includes(address));
  }

  /** A cable whose near end the monitor knows. */
  async cable(): Promise<Cable> {
    const cable = await layCable();
    this.monitor.drain();
    return cable;
  }

  /** Resolves when the virtual router's link is there and down, as in backup. */
  async inBackup(spec: AttachSpec): Promise<Link> {
    return this.monitor.waitFor(
      () => {
        const link = this.monitor.linkByName(spec.linkName);
        return link?.flags.up === false ? link : undefined;
      },
      1000,
      `${spec.linkName} being down`,
    );
  }

  /** Takes everything away that a test may have left, so that the next does not meet it. */
  reset(): void {
    for (const { ifindex } of this.koiLinks()) deleteLink(this.netlink, ifindex);
  }

  close(): void {
    this.reset();
    this.neighbourHush.close();
    this.guards.restore();
    this.monitor.close();
    this.netlink.close();
    rmSync(this.#directory, { recursive: true });
  }
}
