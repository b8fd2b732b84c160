import type { Command } from 'commander';
import { leaveToOthers, putBack } from '../attach/give-back.js';
import { isGuarded } from '../attach/guard-user.js';
import { lockDeadlineMs, runLock, underGuardsLock } from '../attach/interface-locks.js';
import { removeLeftovers } from '../attach/leftovers.js';
import type { KoiConfig } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { isAnswered } from '../ipc/socket-path.js';
import { netnsInode } from '../kernel/host-identity.js';
import { dumpLinks } from '../kernel/links.js';
import { LockSequence } from '../kernel/lock.js';
import { nftTableName } from '../kernel/names.js';
import { NETLINK_NETFILTER, NETLINK_ROUTE, Netlink } from '../kernel/netlink.js';
import { Netns, type NetnsSelector, netnsLabel } from '../kernel/netns.js';
import { refuseService } from '../kernel/nft-accept.js';
import { removeArpGuard } from '../kernel/nft-arp-net.js';
import { silenceNeighbours } from '../kernel/nft-hush.js';
import { removeNeighbourGuard } from '../kernel/nft-neighbour-net.js';
import { demandNetworkCapabilities } from '../kernel/privileges.js';
import { SysctlRecord, settingPath, sysctlRecordPath } from '../kernel/sysctl-record.js';
import { KoiError } from '../koi-error.js';

export function define(command: Command): void {
  command
    .requiredOption('-c, --config <file>', 'the configuration of the run to clean up after')
    .option('--json', 'print what was removed as JSON')
    .addHelpText(
      'after',
      `
Removes what an earlier run left in the kernel, in the namespaces of the configuration too: virtual addresses, virtual-MAC links
with their routes, and the nftables tables of this cluster and node; and puts changed sysctls back, unless another koi relies on them. Safe to repeat; touches nothing that koi has not tagged. Refuses while
the daemon runs.

Example:
  koi clean -c /etc/koi/koi.yaml
`,
    )
    .action(async ({ config: file, json }: { readonly config: string; readonly json?: boolean }) => {
      const { config } = loadConfig(file);
      demandNetworkCapabilities();
      const socket = dataplaneSocketPath(config.control);
      if (await isAnswered(socket)) {
        throw new KoiError('config', `koi is running: its dataplane answers on ${socket}`, {
          remedy: 'stop it first; a running koi cleans up after itself',
        });
      }
      const removed = await removeEverything(footprintOf(config));
      process.stdout.write(json === true ? `${JSON.stringify(removed, null, 2)}\n` : describe(removed));
    });
}

/** What a run leaves its traces under. */
export interface Footprint extends Pick<KoiConfig, 'cluster' | 'node' | 'stateDir'> {
  readonly namespaces: readonly NetnsSelector[];
}

export const footprintOf = ({ cluster, node, stateDir, virtualRouters }: KoiConfig): Footprint => ({
  cluster,
  node,
  stateDir,
  // Not in every namespace there is: other nodes of the cluster may be at home in them.
  namespaces: [
    ...new Map(
      virtualRouters.flatMap(({ namespace }) => (namespace ? [[netnsLabel(namespace), namespace]] : [])),
    ).values(),
  ],
});

/** What was taken out of the kernel or put back there, by kind. */
export type Removed = Readonly<Record<'links' | 'addresses' | 'sysctls' | 'leftToOthers', readonly string[]>>;

/**
 * Takes out of the kernel whatever an earlier run of this node left.
 * @throws KoiError `kernel`; `timeout` naming the dataplane of this cluster that runs here
 */
export async function removeEverything(of: Footprint): Promise<Removed> {
  const locks = new LockSequence();
  // From here to the end no dataplane of this cluster begins to work.
  await locks.acquire(runLock(of.cluster), lockDeadlineMs);
  try {
    return await removeAll(of);
  } finally {
    locks.end();
  }
}

async function removeAll(of: Footprint): Promise<Removed> {
  const here = await removeFrom(undefined, of);
  const removed = [here];
  for (const selector of of.namespaces) {
    const netns = Netns.open(selector);
    if (netns === undefined) continue;
    try {
      if (netns.inode !== netnsInode()) removed.push(await removeFrom(netns, of));
    } finally {
      netns.close();
    }
  }
  const all = (what: keyof Removed): string[] => removed.flatMap((each) => each[what]);
  return {
    links: all('links'),
    addresses: all('addresses'),
    sysctls: all('sysctls'),
    leftToOthers: all('leftToOthers'),
  };
}

async function removeFrom(netns: Netns | undefined, { cluster, node, stateDir }: Footprint): Promise<Removed> {
  const netlink = Netlink.open(NETLINK_ROUTE, netns);
  const filter = netns === undefined ? undefined : Netlink.open(NETLINK_NETFILTER, netns);
  try {
    const { links, addresses } = await removeLeftovers(netlink, cluster, netns);
    const table = nftTableName(cluster, node);
    removeArpGuard(table, filter);
    removeNeighbourGuard(table, filter);
    refuseService(table, [], filter);
    silenceNeighbours(table, [], filter);
    const present = dumpLinks(netlink);
    const names = new Map((present.ok ? present.value : []).map(({ ifindex, name }) => [ifindex, name]));
    const record = SysctlRecord.open(sysctlRecordPath(stateDir, netns?.selector), netns);
    const place = { filter, nameOf: (ifindex: number) => names.get(ifindex) };
    return await underGuardsLock(netns, () => {
      if (isGuarded(netns)) {
        const leftToOthers = record.entries.map(settingPath);
        leaveToOthers(record, place);
        return { links, addresses, sysctls: [], leftToOthers };
      }
      const { restored, foreign } = putBack(record, place);
      return { links, addresses, sysctls: restored, leftToOthers: foreign };
    });
  } finally {
    filter?.close();
    netlink.close();
  }
}

function describe(removed: Removed): string {
  const lines = Object.entries(removed)
    .filter(([, items]) => items.length > 0)
    .map(([what, items]) => `${what}: ${items.join(', ')}\n`);
  return lines.length === 0 ? 'nothing of koi was left\n' : lines.join('');
}
