import { existsSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeDirectory } from './directory.js';
import { ipBatch, run, runTimed } from './ip.js';

/** The virtual IP everything is about. */
export const vip = '10.77.0.254';
/** VRID 51, as an Ethernet address (RFC 9568 section 7.3). */
export const vrid = 51;
export const virtualMac = '00:00:5e:00:01:33';
export const natsPort = 4222;

const prefix = 'koi-lab-';

/** One router of the cluster. */
export interface Router {
  readonly name: string;
  readonly netns: string;
  /** Its address on the LAN, where eth1 is. */
  readonly lanAddress: string;
  /** Its address on the management network, where eth0 is. */
  readonly managementAddress: string;
  /** Its port on the LAN's switch. */
  readonly switchPort: string;
  /** Its ports on the switches of all LANs, this one first. */
  readonly switchPorts: readonly string[];
  /** Its port on the management network's switch. */
  readonly managementPort: string;
}

/** A host of the event log, on the management network only. */
export interface LogHost {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
}

/** Where the lab itself stands on the management network, in the switches' namespace. */
export const overseerAddress = '10.99.0.254';

/**
 * The lab's hosts: two or three routers, a client and the log's hosts, on two bridges in a namespace of their own.
 *
 * ```
 *   client ─┐                      ┌─ n1 … n3 (nats-server)
 *           br0 (LAN)         brm (management)
 *    r1.eth1 ┴ r2.eth1    r1.eth0 ─┴─ r2.eth0
 * ```
 */
export interface Topology {
  readonly routers: readonly Router[];
  readonly switchNetns: string;
  readonly clientNetns: string;
  readonly logHosts: readonly LogHost[];
  /** Takes the wires out of the router's LAN interfaces: they lose carrier. */
  cutLan(router: Router): Promise<void>;
  /** The switch port stops forwarding in both directions; the router keeps its carrier. */
  silenceLan(router: Router): Promise<void>;
  /** Undoes both. */
  mendLan(router: Router): Promise<void>;
  /** The routers' ports no longer forward to each other; the client still reaches every router, and they reach it. */
  splitLan(): Promise<void>;
  /** The LAN's switch no longer floods multicast to the routers, as one whose IGMP snooping went wrong; unicast passes. */
  dropMulticast(): Promise<void>;
  /** Undoes both. */
  joinLan(): Promise<void>;
  /** The management port of a router stops forwarding; its carrier and its connections stay. */
  silenceManagement(router: Router): Promise<void>;
  mendManagement(router: Router): Promise<void>;
  /** Ends everything that runs in the lab's namespaces and removes them. Never throws; safe twice. */
  remove(): void;
}

/** Makes the hosts; what an earlier lab that died left behind is removed first. */
export function createTopology({
  routerCount,
  logHostCount,
  lanCount = 1,
}: {
  routerCount: number;
  logHostCount: number;
  /** LANs of the routers; those after the first have nobody else on them. */
  lanCount?: number;
}): Topology {
  removeLeftovers();
  const nameOf = (host: string) => `${prefix}${process.pid}-${host}`;
  const switchNetns = nameOf('sw');
  const clientNetns = nameOf('c');
  const further = Array.from({ length: lanCount - 1 }, (_, index) => index + 2);
  const logHosts: LogHost[] = Array.from({ length: logHostCount }, (_, index) => ({
    name: `n${index + 1}`,
    netns: nameOf(`n${index + 1}`),
    address: `10.99.0.${index + 11}`,
  }));
  const routers: Router[] = Array.from({ length: routerCount }, (_, index) => ({
    name: `r${index + 1}`,
    netns: nameOf(`r${index + 1}`),
    lanAddress: `10.77.0.${index + 1}`,
    managementAddress: `10.99.0.${index + 1}`,
    switchPort: `p-r${index + 1}`,
    switchPorts: [`p-r${index + 1}`, ...further.map((lan) => `p${lan}-r${index + 1}`)],
    managementPort: `m-r${index + 1}`,
  }));
  const all = [switchNetns, clientNetns, ...[...logHosts, ...routers].map((host) => host.netns)];
  const setPort = async (port: string, ...settings: string[]): Promise<void> => {
    await runTimed('bridge', ['-n', switchNetns, 'link', 'set', 'dev', port, ...settings]);
  };
  const setLinks = async ({ switchPorts }: Router, state: 'up' | 'down'): Promise<void> => {
    for (const port of switchPorts) await runTimed('ip', ['-n', switchNetns, 'link', 'set', 'dev', port, state]);
  };
  const setRouterPorts = async (...settings: string[]): Promise<void> => {
    for (const { switchPort } of routers) await setPort(switchPort, ...settings);
  };

  const topology: Topology = {
    routers,
    switchNetns,
    clientNetns,
    logHosts,
    cutLan: async (router) => {
      await setLinks(router, 'down');
    },
    silenceLan: (router) => setPort(router.switchPort, 'state', '0'),
    mendLan: async (router) => {
      await setLinks(router, 'up');
      await setPort(router.switchPort, 'state', '3');
    },
    splitLan: () => setRouterPorts('isolated', 'on'),
    dropMulticast: () => setRouterPorts('mcast_flood', 'off'),
    joinLan: () => setRouterPorts('isolated', 'off', 'mcast_flood', 'on'),
    silenceManagement: (router) => setPort(router.managementPort, 'state', '0'),
    mendManagement: (router) => setPort(router.managementPort, 'state', '3'),
    remove: () => removeNamespaces(all),
  };
  try {
    build();
  } catch (error) {
    topology.remove();
    throw error;
  }
  return topology;

  function build(): void {
    ipBatch(
      undefined,
      all.map((name) => `netns add ${name}`),
    );
    ipBatch(switchNetns, [
      'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'link add brm type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      `link add p-c type veth peer name eth1 netns ${clientNetns}`,
      ...logHosts.map((host) => `link add m-${host.name} type veth peer name eth0 netns ${host.netns}`),
      ...routers.flatMap((router) => [
        `link add ${router.switchPort} type veth peer name eth1 netns ${router.netns}`,
        `link add ${router.managementPort} type veth peer name eth0 netns ${router.netns}`,
      ]),
      ...['p-c', ...routers.map((router) => router.switchPort)].map((port) => `link set ${port} master br0 up`),
      ...[...logHosts.map((host) => `m-${host.name}`), ...routers.map((router) => router.managementPort)].map(
        (port) => `link set ${port} master brm up`,
      ),
      'link set lo up',
      'link set br0 up',
      'link set brm up',
      `addr add ${overseerAddress}/24 dev brm`,
    ]);
    neverFilters(switchNetns);
    ipBatch(clientNetns, ['link set lo up', 'link set eth1 up', 'addr add 10.77.0.100/24 dev eth1']);
    for (const host of logHosts) {
      ipBatch(host.netns, ['link set lo up', 'link set eth0 up', `addr add ${host.address}/24 dev eth0`]);
    }
    for (const router of routers) {
      ipBatch(router.netns, [
        'link set lo up',
        'link set eth0 up',
        'link set eth1 up',
        `addr add ${router.managementAddress}/24 dev eth0`,
        `addr add ${router.lanAddress}/24 dev eth1`,
      ]);
    }
    for (const lan of further) buildLan(lan);
  }

  function buildLan(lan: number): void {
    const ports = routers.flatMap(({ netns, switchPorts }) => ({ netns, port: switchPorts[lan - 1] ?? '' }));
    ipBatch(switchNetns, [
      `link add br${lan} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      ...ports.map(({ netns, port }) => `link add ${port} type veth peer name eth${lan} netns ${netns}`),
      ...ports.map(({ port }) => `link set ${port} master br${lan} up`),
      `link set br${lan} up`,
    ]);
    for (const [at, { netns }] of ports.entries()) {
      ipBatch(netns, [`link set eth${lan} up`, `addr add 10.${76 + lan}.0.${at + 1}/24 dev eth${lan}`]);
    }
  }
}

/** A switch asks no firewall about each frame; where `br_netfilter` is loaded, the bridges of a new namespace do. */
function neverFilters(netns: string): void {
  const ask = 'for each in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$each" ] || echo 0 >"$each"; done';
  run('ip', ['netns', 'exec', netns, 'sh', '-c', ask]);
}

/** The processes whose network namespace is the named one, wherever they hang in the process tree. */
export function processesIn(netns: string): number[] {
  const path = join('/run/netns', netns);
  if (!existsSync(path)) return [];
  const { ino } = statSync(path);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => namespaceOf(pid) === `net:[${ino}]`);
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    // The process ended while we looked.
    return undefined;
  }
}

function removeNamespaces(names: readonly string[]): void {
  // Killed twice: what a supervisor started between the two looks would keep the namespace alive.
  for (let round = 0; round < 2; round++) {
    for (const pid of names.flatMap(processesIn)) killQuietly(pid);
  }
  for (const name of names.filter((name) => existsSync(join('/run/netns', name)))) {
    try {
      run('ip', ['netns', 'delete', name]);
    } catch {
      // Somebody removed it first; whatever is left is found by the next lab.
    }
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function removeLeftovers(): void {
  const dead = (name: string) => {
    const owner = new RegExp(`^${prefix}(\\d+)`).exec(name)?.[1];
    return owner !== undefined && Number(owner) !== process.pid && !existsSync(`/proc/${owner}`);
  };
  if (existsSync('/run/netns')) removeNamespaces(readdirSync('/run/netns').filter(dead));
  for (const name of readdirSync(tmpdir()).filter(dead)) removeDirectory(join(tmpdir(), name));
}
