import { existsSync, readFileSync } from 'node:fs';
import type { Agreement, Assignment, Participant } from './company.js';
import { frrInstalled, frrParticipant, vrrpdPath } from './frr-participant.js';
import { keepalivedParticipant } from './keepalived-participant.js';
import { ucarpParticipant } from './ucarp-participant.js';

/** One neighbour in one protocol. */
export interface Case extends Agreement {
  readonly name: string;
  readonly peer: (assignment: Assignment) => Participant;
  /** Why this machine cannot run it, or undefined. */
  readonly missing: () => string | undefined;
}

const keepalivedPath = '/usr/sbin/keepalived';
const keepalived = {
  peer: (assignment: Assignment) => keepalivedParticipant(assignment),
  missing: () => (existsSync(keepalivedPath) ? undefined : 'keepalived is not installed'),
};
const keepalivedRfc9568 = {
  peer: (assignment: Assignment) => keepalivedParticipant(assignment, { checksumAsV2: true }),
  missing: () => keepalived.missing() ?? lacks(keepalivedPath, 'v3_checksum_as_v2'),
};
const frr = {
  peer: (assignment: Assignment) => frrParticipant(assignment),
  missing: () => (frrInstalled() ? undefined : 'FRR (zebra, vrrpd) is not installed'),
};
const frrRfc9568 = {
  peer: (assignment: Assignment) => frrParticipant(assignment, { checksumOfRfc9568: true }),
  missing: () => frr.missing() ?? lacks(vrrpdPath, 'checksum-with-ipv4-pseudoheader'),
};
const ucarp = {
  peer: ucarpParticipant,
  missing: () => (existsSync('/usr/sbin/ucarp') ? undefined : 'ucarp is not installed'),
};

/** Both forms of the checksum are younger than the daemons many distributions have: their own keyword tells. */
function lacks(program: string, keyword: string): string | undefined {
  return readFileSync(program, 'latin1').includes(keyword) ? undefined : `this ${program} knows no ${keyword}`;
}

/** Every neighbour Koi must get on with; a new protocol or habit is a new row. */
export const cases: readonly Case[] = [
  { name: 'keepalived, VRRPv3, 10 ms', ...keepalived, protocol: 'vrrp3', family: 4, intervalMs: 10 },
  { name: 'keepalived, VRRPv3, 100 ms', ...keepalived, protocol: 'vrrp3', family: 4, intervalMs: 100 },
  { name: 'keepalived, VRRPv3, 1 s', ...keepalived, protocol: 'vrrp3', family: 4, intervalMs: 1_000 },
  {
    name: 'keepalived, VRRPv3, RFC 9568 checksum',
    ...keepalivedRfc9568,
    protocol: 'vrrp3',
    family: 4,
    intervalMs: 100,
  },
  { name: 'keepalived, VRRPv3, IPv6', ...keepalived, protocol: 'vrrp3', family: 6, intervalMs: 100 },
  { name: 'keepalived, VRRPv3, unicast', ...keepalived, protocol: 'vrrp3', family: 4, intervalMs: 100, unicast: true },
  { name: 'keepalived, VRRPv2', ...keepalived, protocol: 'vrrp2', family: 4, intervalMs: 1_000 },
  {
    name: 'keepalived, VRRPv2, PASS',
    ...keepalived,
    protocol: 'vrrp2',
    family: 4,
    intervalMs: 1_000,
    password: 'secret',
  },
  { name: 'FRR, VRRPv3', ...frr, protocol: 'vrrp3', family: 4, intervalMs: 100 },
  { name: 'FRR, VRRPv3, RFC 9568 checksum', ...frrRfc9568, protocol: 'vrrp3', family: 4, intervalMs: 100 },
  { name: 'FRR, VRRPv3, IPv6', ...frr, protocol: 'vrrp3', family: 6, intervalMs: 100 },
  { name: 'FRR, VRRPv2', ...frr, protocol: 'vrrp2', family: 4, intervalMs: 1_000 },
  { name: 'ucarp, CARP', ...ucarp, protocol: 'carp', family: 4, intervalMs: 1_000, password: 'secret' },
];
