import { existsSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ipBatch, run, runTimed } from './ip.js';

/** The virtual IP everything is about. */
export const vip = '10.77.0.254';
/** VRID 51, as an Ethernet address (RFC 9568 section 7.3). */
export const vrid = 51;
export const virtualMac = '00:00:5e:00:01:33';
export const logServer = { address: '10.99.0.9', port: 4222 };

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
}

/**
 * The lab's hosts: two or three routers, a client and the log's host, on two bridges in a namespace of their own.
 *
 * ```
 *   client ─┐                      ┌─ log (nats-server)
 *           br0 (LAN)         brm (management)
 *    r1.eth1 ┴ r2.eth1    r1.eth0 ─┴─ r2.eth0
 * ```
 */
export interface Topology {
  readonly routers: readonly Router[];
  readonly switchNetns: string;
  readonly clientNetns: string;
  readonly logNetns: string;
  /** Takes the wire out of the router's LAN interface: it loses carrier. */
  cutLan(router: Router): Promise<void>;
  /** The switch port stops forwarding in both directions; the router keeps its carrier. */
  silenceLan(router: Router): Promise<void>;
  /** Undoes both. */
  mendLan(router: Router): Promise<void>;
  /** Ends everything that runs in the lab's namespaces and removes them. Never throws; safe twice. */
  remove(): void;
}

/** Makes the hosts; what an earlier lab that died left behind is removed first. */
export function createTopology(routerCount: number): Topology {
  removeLeftovers();
  const nameOf = (host: string) => `${prefix}${process.pid}-${host}`;
  const switchNetns = nameOf('sw');
  const clientNetns = nameOf('c');
  const logNetns = nameOf('log');
  const routers: Router[] = Array.from({ length: routerCount }, (_, index) => ({
    name: `r${index + 1}`,
    netns: nameOf(`r${index + 1}`),
    lanAddress: `10.77.0.${index + 1}`,
    managementAddress: `10.99.0.${index + 1}`,
    switchPort: `p-r${index + 1}`,
  }));
  const all = [switchNetns, clientNetns, logNetns, ...routers.map((router) => router.netns)];

  const topology: Topology = {
    routers,
    switchNetns,
    clientNetns,
    logNetns,
    cutLan: async (router) => {
      await runTimed('ip', ['-n', switchNetns, 'link', 'set', 'dev', router.switchPort, 'down']);
    },
    silenceLan: async (router) => {
      await runTimed('bridge', ['-n', switchNetns, 'link', 'set', 'dev', router.switchPort, 'state', '0']);
    },
    mendLan: async (router) => {
      await runTimed('ip', ['-n', switchNetns, 'link', 'set', 'dev', router.switchPort, 'up']);
      await runTimed('bridge', ['-n', switchNetns, 'link', 'set', 'dev', router.switchPort, 'state', '3']);
    },
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
      `link add m-log type veth peer name eth0 netns ${logNetns}`,
      ...routers.flatMap((router) => [
        `link add ${router.switchPort} type veth peer name eth1 netns ${router.netns}`,
        `link add m-${router.name} type veth peer name eth0 netns ${router.netns}`,
      ]),
      ...['p-c', ...routers.map((router) => router.switchPort)].map((port) => `link set ${port} master br0 up`),
      ...['m-log', ...routers.map((router) => `m-${router.name}`)].map((port) => `link set ${port} master brm up`),
      'link set br0 up',
      'link set brm up',
    ]);
    ipBatch(clientNetns, ['link set lo up', 'link set eth1 up', 'addr add 10.77.0.100/24 dev eth1']);
    ipBatch(logNetns, ['link set lo up', 'link set eth0 up', `addr add ${logServer.address}/24 dev eth0`]);
    for (const router of routers) {
      ipBatch(router.netns, [
        'link set lo up',
        'link set eth0 up',
        'link set eth1 up',
        `addr add ${router.managementAddress}/24 dev eth0`,
        `addr add ${router.lanAddress}/24 dev eth1`,
      ]);
    }
  }
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
  for (const name of readdirSync(tmpdir()).filter(dead)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}
