import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MainProcess } from '../lab/daemon.js';
import { vrid } from '../lab/topology.js';
import { type Assignment, advskewOf, type Participant } from './company.js';

/** ucarp, whose scripts put the address on the interface itself: it has no virtual MAC of its own. */
export function ucarpParticipant(assignment: Assignment): Participant {
  const { agreement, rank, router, addresses } = assignment;
  const [address] = addresses;
  if (address === undefined || agreement.family !== 4) throw new Error('ucarp takes one IPv4 address');
  const directory = join(assignment.directory, 'ucarp');
  mkdirSync(directory, { recursive: true });
  const script = (name: string, verb: string) => {
    const file = join(directory, name);
    writeFileSync(file, `#!/bin/sh\nip addr ${verb} ${address}/24 dev "$1"\nexit 0\n`, { mode: 0o755 });
    return file;
  };
  const [up, down] = [script('up', 'add'), script('down', 'del')];
  const main = new MainProcess(router.netns, assignment.logFile);
  return {
    name: 'ucarp',
    start: async () =>
      main.start('ucarp', [
        ...['-i', 'eth1', '-s', router.lanAddress, '-v', String(vrid), '-p', agreement.password ?? '', '-a', address],
        ...['-b', String(agreement.intervalMs / 1000), '-k', String(advskewOf[rank]), '-P', '-z', '-D'],
        ...['-u', up, '-d', down],
      ]),
    stop: () => main.stop(10_000),
    notYet: async () => (main.running ? undefined : `ucarp has ended (${main.ended ?? 'never started'})`),
    lastWords: () => main.lastWords(15),
  };
}
