import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MainProcess } from '../lab/daemon.js';
import { koiStatus } from '../lab/koi-api.js';
import { vrid } from '../lab/topology.js';
import { type Assignment, advskewOf, type Participant, priorityOf } from './company.js';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const stopDeadlineMs = 10_000;

/** `koi run`, mode `wire`, without a log: what a Koi router is for neighbours that know nothing of it. */
export function koiParticipant(assignment: Assignment): Participant & { readonly refused: readonly string[] } {
  const directory = join(assignment.directory, 'koi');
  const socket = join(directory, 'koi.sock');
  const configFile = join(directory, 'koi.yaml');
  const main = new MainProcess(assignment.router.netns, assignment.logFile);
  mkdirSync(join(directory, 'state'), { recursive: true });
  writeFileSync(configFile, configuration(assignment, directory, socket));
  return {
    name: 'koi',
    refused: refusals(assignment.router.netns, configFile),
    start: async () => main.start(process.execPath, [cli, 'run', '-c', configFile]),
    stop: () => main.stop(stopDeadlineMs),
    lastWords: () => main.lastWords(15),
    notYet: async (owner) => {
      if (!main.running) return `koi run has ended (${main.ended ?? 'never started'})`;
      try {
        const { state, why } = (await koiStatus(socket)).vrs[0] ?? { state: 'without a virtual router', why: '' };
        return state === (owner ? 'master' : 'backup') ? undefined : `koi is ${state}: ${why}`;
      } catch (error) {
        return `koi status: ${(error as Error).message}`;
      }
    },
  };
}

/** What `koi check` has against a configuration, a sentence each. */
function refusals(netns: string, configFile: string): string[] {
  const args = ['netns', 'exec', netns, process.execPath, cli, 'check', '--json', '-c', configFile];
  const checked = spawnSync('ip', args, { encoding: 'utf8' });
  if (checked.status === 0) return [];
  if (checked.status !== 2) throw new Error(`koi check: exit ${checked.status}: ${checked.stderr}`);
  const { errors } = JSON.parse(checked.stdout) as { errors: { path: string; message: string }[] };
  return errors.map(({ path, message }) => `${path}: ${message}`);
}

function configuration(assignment: Assignment, directory: string, socket: string): string {
  const { agreement, rank, router, other, addresses } = assignment;
  const { protocol, family, intervalMs, password } = agreement;
  const passwordFile = join(directory, 'password');
  if (password !== undefined) writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const prefix = family === 4 ? 24 : 64;
  const virtualRouter = {
    name: 'gw',
    protocol,
    interface: 'eth1',
    id: vrid,
    addresses: addresses.map((address) => `${address}/${prefix}`),
    ...(protocol === 'carp'
      ? {
          carp: {
            advbase: intervalMs / 1000,
            advskew: advskewOf[rank],
            ...(password === undefined ? {} : { passwordFile }),
          },
        }
      : { priority: priorityOf[rank], advertInterval: `${intervalMs}ms` }),
    ...(protocol === 'vrrp2' && password !== undefined ? { vrrp2: { auth: { type: 'pass', passwordFile } } } : {}),
    ...(agreement.unicast === true ? { unicast: { source: router.lanAddress, peers: [other.lanAddress] } } : {}),
  };
  return JSON.stringify(
    {
      cluster: 'interop',
      node: router.name,
      log: { servers: ['nats://127.0.0.1:4222'] },
      arbitration: 'wire',
      onLogLoss: 'wire',
      control: socket,
      stateDir: join(directory, 'state'),
      virtualRouters: [virtualRouter],
    },
    undefined,
    2,
  );
}
