import { signal } from '../lab/daemon.js';
import { ipBatch, run } from '../lab/ip.js';
import { createTopology, processesIn, type Router, type Topology } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';

/** IPv6 of the segment: link-local first, as RFC 9568 section 5.2.9 wants it. */
export const linkLocalVip = 'fe80::77:254';
export const globalVip = '2001:db8:77::254';

/** One LAN with two routers and a client, in namespaces of their own: the lab's, with IPv6 beside IPv4. */
export interface Segment {
  readonly topology: Topology;
  /** Where Koi runs, and where the other daemon does. */
  readonly koi: Router;
  readonly peer: Router;
}

/** Makes the hosts, and waits until their addresses of the family may be used. */
export async function createSegment(family: 4 | 6): Promise<Segment> {
  const topology = createTopology({ routerCount: 2, logHostCount: 0 });
  try {
    const [koi, peer] = topology.routers;
    if (koi === undefined || peer === undefined) throw new Error('the topology has fewer than two routers');
    // The hosts' own link-local addresses need no duplicate check, which would take two seconds.
    const withoutCheck =
      'echo 0 > /proc/sys/net/ipv6/conf/eth1/dad_transmits; ip link set eth1 down; ip link set eth1 up';
    for (const netns of family === 4 ? [] : [topology.clientNetns, koi.netns, peer.netns]) {
      run('ip', ['netns', 'exec', netns, 'sh', '-c', withoutCheck]);
    }
    ipBatch(topology.clientNetns, ['addr add 2001:db8:77::100/64 dev eth1 nodad']);
    ipBatch(koi.netns, ['addr add 2001:db8:77::1/64 dev eth1 nodad']);
    ipBatch(peer.netns, ['addr add 2001:db8:77::2/64 dev eth1 nodad']);
    for (const netns of family === 4 ? [] : [topology.clientNetns, koi.netns, peer.netns]) {
      await waitUntil(
        'the hosts to have link-local addresses',
        () => {
          const own = run('ip', ['-n', netns, 'addr', 'show', 'dev', 'eth1', 'scope', 'link']);
          if (!own.includes('fe80:')) return `${netns} has none`;
          return own.includes('tentative') ? `that of ${netns} is tentative` : undefined;
        },
        { deadlineMs: 10_000, everyMs: 50 },
      );
    }
    return { topology, koi, peer };
  } catch (error) {
    topology.remove();
    throw error;
  }
}

/**
 * A router loses its power: from one moment on nobody hears it, and nothing of it is left but its disk.
 *
 * The switch port is silent before anything dies, so that no last words get out.
 */
export async function powerOff({ topology }: Segment, router: Router): Promise<void> {
  await topology.silenceLan(router);
  await waitUntil(
    `the processes of ${router.name} to end`,
    () => {
      const pids = processesIn(router.netns);
      signal(pids, 'SIGKILL');
      return pids.length === 0 ? undefined : `${pids.length} still run`;
    },
    { deadlineMs: 5_000 },
  );
  forgetVirtualAddresses(router);
  await topology.mendLan(router);
}

interface ShownLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly operstate: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly proto_down?: boolean;
  readonly addr_info?: readonly { readonly local?: string }[];
}

function linksOf(router: Router): ShownLink[] {
  return JSON.parse(run('ip', ['-n', router.netns, '-j', '-d', 'addr'])) as ShownLink[];
}

/** Removes the virtual links and addresses that a killed daemon leaves behind. */
export function forgetVirtualAddresses(router: Router): void {
  const links = linksOf(router);
  const isVirtual = (link: ShownLink) => link.linkinfo?.info_kind === 'macvlan';
  const left = links.filter(isVirtual).map((link) => `link del ${link.ifname}`);
  const strays = links
    .filter((link) => link.ifname === 'eth1')
    .flatMap((link) => link.addr_info ?? [])
    .filter(({ local }) => local !== undefined && /^10\.77\.0\.2\d\d$/.test(local))
    .map(({ local }) => `addr del ${local}/24 dev eth1`);
  if (left.length + strays.length > 0) ipBatch(router.netns, [...left, ...strays]);
}

/**
 * Whether a router's kernel serves the virtual IPs: each of them stands on a link that is up, with carrier, and not held
 * down by its protocol (FRR's way to be backup). 'part' is a router that serves some of them.
 */
export function serves(router: Router, addresses: readonly string[]): 'all' | 'part' | 'none' {
  const served = new Set(
    linksOf(router)
      .filter((link) => link.flags.includes('UP') && link.operstate !== 'DOWN' && link.operstate !== 'LOWERLAYERDOWN')
      .filter((link) => link.proto_down !== true)
      .flatMap((link) => link.addr_info ?? [])
      .flatMap(({ local }) => (local === undefined ? [] : [local])),
  );
  const count = addresses.filter((address) => served.has(address)).length;
  return count === 0 ? 'none' : count === addresses.length ? 'all' : 'part';
}
