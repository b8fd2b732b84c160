import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MainProcess } from '../lab/daemon.js';
import { ipBatch, run } from '../lab/ip.js';
import { vrid } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { type Assignment, type Participant, priorityOf } from './company.js';
import { forgetVirtualAddresses } from './segment.js';

const programs = '/usr/lib/frr';
const link = 'vrrp-gw';

export interface FrrHabits {
  /** `no checksum-with-ipv4-pseudoheader`: the checksum of RFC 9568. Only newer versions know it. */
  readonly checksumOfRfc9568?: boolean;
}

/**
 * zebra and vrrpd of FRR, by hand as its manual has it (docs.frrouting.org, VRRP): the operator makes the virtual MAC's
 * link with its addresses, vrrpd lets zebra hold it down while it is backup.
 */
export function frrParticipant(assignment: Assignment, habits: FrrHabits = {}): Participant {
  const { router } = assignment;
  const directory = join(assignment.directory, 'frr');
  mkdirSync(directory, { recursive: true });
  // FRR gives up root early, and keeps its sockets here.
  chmodSync(assignment.directory, 0o755);
  run('chown', ['frr:frr', directory]);
  const zebraSocket = join(directory, 'zserv.api');
  const zebra = new MainProcess(router.netns, assignment.logFile);
  const vrrpd = new MainProcess(router.netns, assignment.logFile);
  const start = (daemon: MainProcess, name: string, configuration: string) => {
    const configFile = join(directory, `${name}.conf`);
    writeFileSync(configFile, configuration);
    daemon.start(join(programs, name), [
      ...['-u', 'frr', '-g', 'frr', '-A', '127.0.0.1', '-P', '0', '--vty_socket', directory],
      ...[
        '-f',
        configFile,
        '-i',
        join(directory, `${name}.pid`),
        '-z',
        join(directory, 'zserv.api'),
        '--log',
        'stdout',
      ],
    ]);
  };
  return {
    name: 'frr',
    start: async () => {
      layVirtualLink(assignment);
      rmSync(zebraSocket, { force: true });
      start(zebra, 'zebra', '');
      // Where vrrpd finds no zebra, it looks again ten seconds later.
      await waitUntil('zebra', () => (existsSync(zebraSocket) ? undefined : 'it has no socket yet'), {
        deadlineMs: 5_000,
      });
      start(vrrpd, 'vrrpd', configuration(assignment, habits));
    },
    stop: async () => {
      const code = await vrrpd.stop(10_000);
      await zebra.stop(10_000);
      // The addresses are the operator's in FRR's world, and vrrpd leaves their link as it was last.
      forgetVirtualAddresses(router);
      return code;
    },
    notYet: async () => {
      if (!zebra.running) return `zebra has ended (${zebra.ended ?? 'never started'})`;
      return vrrpd.running ? undefined : `vrrpd has ended (${vrrpd.ended ?? 'never started'})`;
    },
    lastWords: () => vrrpd.lastWords(15),
  };
}

export const vrrpdPath = join(programs, 'vrrpd');
export const frrInstalled = (): boolean => existsSync(vrrpdPath) && existsSync(join(programs, 'zebra'));

function layVirtualLink({ agreement, router, addresses }: Assignment): void {
  const mac = `00:00:5e:00:0${agreement.family === 4 ? 1 : 2}:${vrid.toString(16).padStart(2, '0')}`;
  const prefix = agreement.family === 4 ? 24 : 64;
  ipBatch(router.netns, [
    `link add ${link} link eth1 type macvlan mode bridge`,
    // A link-local address made of the virtual MAC would be the same on all routers.
    `link set dev ${link} addrgenmode random address ${mac}`,
    // Down before it comes up, or a backup would speak for the addresses until vrrpd has looked at it.
    `link set dev ${link} protodown on`,
    ...addresses.map((address) => `addr add ${address}/${prefix} dev ${link} ${agreement.family === 6 ? 'nodad' : ''}`),
    `link set dev ${link} up`,
  ]);
  const guards = ['eth1', link].flatMap((name) => [
    `${name}.arp_ignore=1`,
    `${name}.arp_announce=2`,
    `${name}.rp_filter=0`,
  ]);
  const sysctls = ['all.rp_filter=0', ...guards].map((key) => `net.ipv4.conf.${key}`);
  const keys = sysctls.map((line) =>
    line.replace(/^(.*)=(.*)$/, (_, key: string, value: string) => assign(key, value)),
  );
  run('ip', ['netns', 'exec', router.netns, 'sh', '-c', keys.join('; ')]);
}

function assign(key: string, value: string): string {
  return `echo ${value} > /proc/sys/${key.replaceAll('.', '/')}`;
}

function configuration({ agreement, rank, addresses }: Assignment, habits: FrrHabits): string {
  const family = agreement.family === 4 ? 'ip' : 'ipv6';
  const lines = [
    `vrrp ${vrid} version ${agreement.protocol === 'vrrp2' ? 2 : 3}`,
    `vrrp ${vrid} priority ${priorityOf[rank]}`,
    `vrrp ${vrid} advertisement-interval ${agreement.intervalMs}`,
    ...(habits.checksumOfRfc9568 === true ? [`no vrrp ${vrid} checksum-with-ipv4-pseudoheader`] : []),
    ...addresses.map((address) => `vrrp ${vrid} ${family} ${address}`),
  ];
  return `log stdout\ndebug vrrp\ninterface eth1\n${lines.map((line) => ` ${line}`).join('\n')}\n!\n`;
}
