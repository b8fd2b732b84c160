import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MainProcess } from '../lab/daemon.js';
import { vrid } from '../lab/topology.js';
import { type Assignment, type Participant, priorityOf } from './company.js';

export interface KeepalivedHabits {
  /** `v3_checksum_as_v2`: the checksum of RFC 9568, without the pseudo-header. Only newer versions know it. */
  readonly checksumAsV2?: boolean;
}

/** keepalived with a virtual MAC, so that the addresses keep their MAC when they move. */
export function keepalivedParticipant(assignment: Assignment, habits: KeepalivedHabits = {}): Participant {
  const directory = join(assignment.directory, 'keepalived');
  const configFile = join(directory, 'keepalived.conf');
  const pidFiles = [join(directory, 'main.pid'), join(directory, 'vrrp.pid')] as const;
  const main = new MainProcess(assignment.router.netns, assignment.logFile);
  mkdirSync(directory, { recursive: true });
  writeFileSync(configFile, configuration(assignment, habits));
  return {
    name: 'keepalived',
    start: async () => {
      // A machine that comes up again has no pid files; keepalived would take a zombie for a running daemon.
      for (const file of pidFiles) rmSync(file, { force: true });
      main.start('keepalived', [
        ...['--dont-fork', '--log-console', '--log-detail', '--vrrp', '-f', configFile],
        ...['-p', pidFiles[0], '-r', pidFiles[1]],
      ]);
    },
    stop: () => main.stop(10_000),
    notYet: async () => (main.running ? undefined : `keepalived has ended (${main.ended ?? 'never started'})`),
    lastWords: () => main.lastWords(15),
  };
}

function configuration({ agreement, rank, router, other, addresses }: Assignment, habits: KeepalivedHabits): string {
  const { protocol, family, intervalMs, password, unicast } = agreement;
  const prefix = family === 4 ? 24 : 64;
  const lines = [
    'state BACKUP',
    'interface eth1',
    'use_vmac',
    `virtual_router_id ${vrid}`,
    `priority ${priorityOf[rank]}`,
    `advert_int ${intervalMs / 1000}`,
    ...(habits.checksumAsV2 === true ? ['v3_checksum_as_v2'] : []),
    ...(password === undefined ? [] : [`authentication {\n    auth_type PASS\n    auth_pass ${password}\n  }`]),
    ...(unicast === true
      ? ['vmac_xmit_base', `unicast_src_ip ${router.lanAddress}`, `unicast_peer {\n    ${other.lanAddress}\n  }`]
      : []),
    `virtual_ipaddress {\n${addresses.map((address) => `    ${address}/${prefix}`).join('\n')}\n  }`,
  ];
  return `global_defs {
  vrrp_version ${protocol === 'vrrp2' ? 2 : 3}
}
vrrp_instance gw {
${lines.map((line) => `  ${line}`).join('\n')}
}
`;
}
