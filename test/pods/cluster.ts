import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { nowMs } from '../lab/clock.js';
import { compile } from '../lab/compile.js';
import { processTable, signal } from '../lab/daemon.js';
import { koiStatus } from '../lab/koi-api.js';
import { LogServer } from '../lab/log-server.js';
import type { ClientView } from '../lab/outage.js';
import { Prober } from '../lab/prober.js';
import { createTopology, processesIn, type Router, type Topology, vip } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type ImageRoot, imageAt, imageOfCheckout } from './image-root.js';
import { Kubelet, type Objects } from './kubelet.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const lab = fileURLToPath(new URL('../lab', import.meta.url));
const nodeCount = 3;

/** Where things are in the pods of a node. */
export interface Shape {
  /** The control socket's path on the host. */
  readonly socket: string;
  /** The pod that has the container `dataplane`. */
  readonly dataplanePod: string;
}

/** Three nodes in namespaces, a log outside of them, and a client that asks the virtual IP a thousand times a second. */
export class Cluster {
  readonly topology: Topology;
  readonly log: LogServer;
  readonly prober: Prober;
  readonly nodes: readonly Kubelet[];
  readonly #built: BuiltKoi;
  readonly #image: ImageRoot;
  readonly #directory: string;
  readonly #shape: Shape;

  constructor(objects: Objects, shape: Shape) {
    this.#shape = shape;
    this.#built = buildKoi();
    const imageRoot = process.env.KOI_IMAGE_ROOT;
    this.#image = imageRoot === undefined ? imageOfCheckout(this.#built, natsServerBinary ?? '') : imageAt(imageRoot);
    this.#directory = mkdtempSync(join(tmpdir(), 'koi-pods-'));
    chmodSync(this.#directory, 0o755);
    this.topology = createTopology({ routerCount: nodeCount, logHostCount: 1 });
    const [host] = this.topology.logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    this.log = new LogServer({ host, directory: this.#directory, logFile: join(this.#directory, 'nats.log'), root });
    this.prober = new Prober(compile(lab, 'probe', join(this.#directory, 'bin')), this.topology.clientNetns, vip);
    this.nodes = this.topology.routers.map(
      ({ name, netns, managementAddress }) =>
        new Kubelet(
          { name, netns, hostIp: managementAddress, directory: join(this.#directory, name), image: this.#image },
          objects,
        ),
    );
  }

  router(node: Kubelet): Router {
    const found = this.topology.routers.find(({ name }) => name === node.place.name);
    if (found === undefined) throw new Error(`there is no node ${node.place.name}`);
    return found;
  }

  /** The state of the virtual router on a node, such as `master logged`; `down` where nobody answers. */
  async state(node: Kubelet): Promise<string> {
    try {
      const { vrs } = await koiStatus(node.hostPath(this.#shape.socket));
      return vrs.map(({ state, standing }) => (standing === null ? state : `${state} ${standing}`)).join();
    } catch {
      return 'down';
    }
  }

  /** One master that the log knows, and backups but for what is meant to be otherwise; every probe answered. */
  async settled(except: ReadonlyMap<Kubelet, string> = new Map()): Promise<Kubelet> {
    let master: Kubelet | undefined;
    const notYet = async (): Promise<string | undefined> => {
      const states = await Promise.all(this.nodes.map((node) => this.state(node)));
      master = this.nodes.find((_, index) => states[index] === 'master logged');
      const isRight = (node: Kubelet, index: number): boolean =>
        states[index] === (except.get(node) ?? (node === master ? 'master logged' : 'backup'));
      if (master === undefined || !this.nodes.every(isRight)) return states.join(' / ');
      return this.prober.answering(500);
    };
    await waitUntil('one master, and backups', notYet, { deadlineMs: 60_000, everyMs: 50 }).catch((error: unknown) => {
      throw new Error([String(error), ...this.nodes.map((node) => node.lastWords())].join('\n'));
    });
    if (master === undefined) throw new Error('unreachable');
    return master;
  }

  /** That the same node stays master for a while, and every probe is answered. */
  async settledFor(durationMs: number): Promise<void> {
    const master = await this.settled();
    await observeFor(durationMs);
    if ((await this.settled()) !== master) throw new Error(`${master.place.name} is no longer master`);
  }

  /** How often any node has become master since it was last started. */
  moves(): number {
    const pod = this.#shape.dataplanePod;
    const said = this.nodes
      .filter((node) => node.has(pod))
      .map((node) => readFileSync(node.container(pod, 'dataplane').logFile, 'utf8'));
    return said.reduce((sum, text) => sum + (text.match(/→ master/g)?.length ?? 0), 0);
  }

  /** What the client saw while something was done, and how often the address moved. */
  async during(action: () => Promise<unknown>): Promise<ClientView & { readonly moves: number }> {
    const before = this.moves();
    const fromMs = nowMs();
    await action();
    const view = await this.prober.judge(fromMs, nowMs());
    return { ...view, moves: this.moves() - before };
  }

  /** Takes a node's power away: silent on both networks at once, then nothing of it is left. */
  async powerOff(node: Kubelet): Promise<void> {
    const router = this.router(node);
    await Promise.all([this.topology.silenceLan(router), this.topology.silenceManagement(router)]);
    signal(processesIn(node.place.netns), 'SIGKILL');
    await waitUntil('nothing to run on it', () => processTable(node.place.netns)[0]?.command, { deadlineMs: 5_000 });
  }

  /** Its networks are there again; nothing runs on it yet. */
  async powerOn(node: Kubelet): Promise<void> {
    const router = this.router(node);
    await Promise.all([this.topology.mendLan(router), this.topology.mendManagement(router)]);
  }

  /** Somebody answers every probe. */
  async served(): Promise<void> {
    await waitUntil('the virtual IP to answer', () => this.prober.answering(500), { deadlineMs: 30_000, everyMs: 20 });
  }

  async end(): Promise<void> {
    this.prober.end();
    await this.log.kill().catch(() => undefined);
    this.topology.remove();
    this.#image.remove();
    this.#built.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
