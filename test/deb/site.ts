import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../lab/compile.js';
import { koiStatus } from '../lab/koi-api.js';
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

/** The state of the one virtual router on each machine, and how the log stands to it: `master logged / backup null`. */
export async function statesOf(machines: readonly Machine[]): Promise<string> {
  const told = machines.map(async (machine) => {
    const { vrs } = await koiStatus(machine.path(socket));
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
