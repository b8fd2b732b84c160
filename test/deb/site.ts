import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nowMs } from '../lab/clock.js';
import { compile } from '../lab/compile.js';
import { ipBatch } from '../lab/ip.js';
import { type KoiStatus, koiMetric, koiStatus } from '../lab/koi-api.js';
import { Prober } from '../lab/prober.js';
import { createTopology, type Topology, vip } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { debianRoot } from './debian-root.js';
import { Machine } from './machine.js';

const lab = fileURLToPath(new URL('../lab', import.meta.url));

/** The lab's network with a Debian under systemd as each of its hosts, and a client that probes the virtual IP. */
export class Site {
  readonly topology: Topology;
  readonly directory = mkdtempSync(join(tmpdir(), 'koi-deb-'));
  readonly machines: Machine[] = [];
  #prober: Prober | undefined;

  constructor() {
    this.topology = createTopology({ routerCount: 2, logHostCount: 1 });
  }

  /** Starts a machine in a network namespace of the topology. */
  async boot(name: string, netns: string): Promise<Machine> {
    const directory = join(this.directory, name);
    mkdirSync(directory);
    const machine = new Machine({ name, netns, root: debianRoot(), directory });
    this.machines.push(machine);
    await machine.start();
    return machine;
  }

  /** Two routers and, at the address that the quick start gives it, a witness; apt asks nothing there. */
  async bootWithWitness(): Promise<[Machine, Machine, Machine]> {
    const [host] = this.topology.logHosts;
    const [first, second] = this.topology.routers;
    if (host === undefined || first === undefined || second === undefined) throw new Error('the topology is too small');
    ipBatch(host.netns, ['addr add 10.99.0.9/24 dev eth0']);
    const boot = async ({ name, netns }: { readonly name: string; readonly netns: string }): Promise<Machine> => {
      const machine = await this.boot(name, netns);
      machine.put('etc/apt/apt.conf.d/90yes', 'APT::Get::Assume-Yes "true";\n');
      const settledAddresses = async (): Promise<string | undefined> =>
        (await machine.do('ip addr show tentative')) === '' ? undefined : 'an address is tentative';
      await waitUntil('the addresses of IPv6', settledAddresses, { deadlineMs: 10_000 });
      return machine;
    };
    return Promise.all([boot(first), boot(second), boot(host)]);
  }

  /** The client, from the first time it is asked for. */
  get prober(): Prober {
    this.#prober ??= new Prober(compile(lab, 'probe', join(this.directory, 'bin')), this.topology.clientNetns, vip);
    return this.#prober;
  }

  /** Never throws. */
  async remove(): Promise<void> {
    this.#prober?.end();
    for (const machine of this.machines) await machine.kill().catch(() => undefined);
    this.topology.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const socket = 'run/koi/koi.sock';

export const statusOf = (machine: Machine): Promise<KoiStatus> => koiStatus(machine.path(socket));
export const metricOf = (machine: Machine, name: string): Promise<number> => koiMetric(machine.path(socket), name);

/** The state of the one virtual router on each machine, and how the log stands to it: `master logged / backup null`. */
export async function statesOf(machines: readonly Machine[]): Promise<string> {
  const told = machines.map(async (machine) => {
    const { vrs } = await statusOf(machine);
    return vrs.map(({ state, standing }) => `${state} ${standing}`).join();
  });
  return (await Promise.all(told)).join(' / ');
}

/** Waits until the machines stand as expected and the client is answered. @throws Error with their journals' ends */
export async function settled(site: Site, machines: readonly Machine[], expected: string): Promise<void> {
  const notYet = async (): Promise<string | undefined> => {
    const found = await statesOf(machines).catch(String);
    return found === expected ? site.prober.answering(500) : found;
  };
  await waitUntil(expected, notYet, { deadlineMs: 60_000, everyMs: 50 }).catch(async (error: unknown) => {
    const journals = machines.map((machine) =>
      machine.run("journalctl -b -n 40 -o short-monotonic --no-pager -u 'koi*'"),
    );
    throw new Error([String(error), ...(await Promise.all(journals)).map(({ said }) => said)].join('\n\n'));
  });
}

/** How often the virtual router has become master, on all machines together, as their journals have it. */
export async function takeovers(machines: readonly Machine[]): Promise<number> {
  const journals = machines.map((machine) => machine.do('journalctl -b -o cat --no-pager -u koi-dataplane'));
  return (await Promise.all(journals)).join('\n').match(/→ master/g)?.length ?? 0;
}

/** What the client and the journals saw of `action`: probes sent and lost, changes of the master. */
export async function watched(
  site: Site,
  machines: readonly Machine[],
  action: () => Promise<unknown>,
): Promise<{ sent: number; lost: number; gapMs: number; moves: number }> {
  const before = await takeovers(machines);
  const fromMs = nowMs();
  await action();
  const { sent, lost, outageMs } = await site.prober.judge(fromMs, nowMs());
  return { sent, lost, gapMs: outageMs, moves: (await takeovers(machines)) - before };
}
