import type { AttachHost } from '../attach/attachment.js';
import { monitorEcho } from '../attach/echo.js';
import { SegmentGuards } from '../attach/guards.js';
import { LinkBin } from '../attach/link-bin.js';
import { NeighbourHush } from '../attach/neighbour-hush.js';
import { onceATurn } from '../attach/once-a-turn.js';
import { getLink } from '../kernel/links.js';
import { KernelMonitor } from '../kernel/monitor.js';
import { linkGroup } from '../kernel/names.js';
import { Netlink } from '../kernel/netlink.js';
import { silenceNeighbours } from '../kernel/nft-hush.js';
import { SysctlRecord, sysctlRecordPath } from '../kernel/sysctl-record.js';

export interface HomePlaceOptions {
  readonly boot: string;
  readonly stateDir: string;
  readonly nftTable: string;
}

/** Our own network namespace: in it are the interfaces of all adverts, and the addresses that have no other. */
export class HomePlace {
  readonly netlink = Netlink.open();
  readonly monitor = KernelMonitor.open();
  readonly guards: SegmentGuards;
  readonly neighbourHush: NeighbourHush;
  readonly host: AttachHost;

  constructor({ boot, stateDir, nftTable }: HomePlaceOptions) {
    const { netlink, monitor } = this;
    const guards = new SegmentGuards(monitor, SysctlRecord.open(sysctlRecordPath(stateDir)));
    const neighbourHush = new NeighbourHush({
      silence: (addresses) => silenceNeighbours(nftTable, addresses),
      listen: (listener) => monitor.on(listener),
    });
    this.guards = guards;
    this.neighbourHush = neighbourHush;
    this.host = {
      netlink,
      echo: monitorEcho(monitor),
      bin: new LinkBin(netlink, linkGroup('discarded links', boot)),
      guards: onceATurn((parentIfindex: number) => guards.demand(parentIfindex)),
      parentLink: onceATurn((ifindex: number) => getLink(netlink, ifindex)),
      hush: (link, hushed) => {
        guards.hush(link, hushed);
        neighbourHush.set(link.ifindex, link.ipv6, hushed);
      },
    };
  }

  close(): void {
    this.monitor.close();
    this.netlink.close();
  }
}
