import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MainProcess } from '../lab/daemon.js';
import { removeDirectory } from '../lab/directory.js';
import { writeLanKey } from '../lab/koi.js';
import { type KoiStatus, koiStatus } from '../lab/koi-api.js';
import { LogServer } from '../lab/log-server.js';
import { createTopology, type Router, type Topology } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Starts of processes, on a machine that is busy otherwise. */
const settleDeadlineMs = 60_000;

/** Two routers, a client and a log; whoever watches them stands on the management network, where no router serves. */
export class ObservedSite {
  readonly topology: Topology;
  readonly directory: string;
  readonly #main: string;
  readonly #log: LogServer;
  readonly #koi = new Map<string, MainProcess>();

  constructor(main: string) {
    this.#main = main;
    this.directory = mkdtempSync(join(tmpdir(), 'koi-observed-'));
    chmodSync(this.directory, 0o755);
    this.topology = createTopology({ routerCount: 2, logHostCount: 1 });
    const [host] = this.topology.logHosts;
    if (host === undefined) throw new Error('there is no host for the log');
    this.#log = new LogServer({ host, directory: this.directory, logFile: join(this.directory, 'nats.log'), root });
    writeLanKey(join(this.directory, 'lan.key'));
    this.topology.routers.forEach((router, index) => {
      mkdirSync(join(this.directory, router.name));
      writeFileSync(this.configFile(router), this.#configuration(router, 200 - 50 * index));
      this.#koi.set(router.name, new MainProcess(router.netns, join(this.directory, `${router.name}.log`)));
    });
  }

  get r1(): Router {
    return this.#router(0);
  }

  get r2(): Router {
    return this.#router(1);
  }

  get watcherNetns(): string {
    return this.topology.switchNetns;
  }

  configFile = (router: Router): string => join(this.directory, router.name, 'koi.yaml');
  socket = (router: Router): string => join(this.directory, router.name, 'koi.sock');
  url = (router: Router): string => `http://${router.managementAddress}:9650/`;

  async open(): Promise<void> {
    await this.#log.start();
    this.start(this.r1);
    await this.until('r1 to serve both', this.r1, (vr) => vr.state === 'master');
    this.start(this.r2);
    await this.until('r2 to stand by', this.r2, (vr) => vr.state === 'backup' && vr.owner === 'r1');
  }

  start(router: Router): void {
    this.#process(router).start(process.execPath, [this.#main, 'run', '-c', this.configFile(router)]);
  }

  async stop(router: Router): Promise<void> {
    await this.#process(router).stop(settleDeadlineMs);
  }

  async until(
    what: string,
    router: Router,
    isSo: (vr: KoiStatus['vrs'][number]) => boolean,
    vrs: readonly string[] = ['gw', 'wired'],
  ): Promise<number> {
    const notYet = async (): Promise<string | undefined> => {
      try {
        const status = await koiStatus(this.socket(router));
        if (!status.log.connected) return 'it has no log';
        const other = status.vrs.find((vr) => vrs.includes(vr.name) && !isSo(vr));
        return other === undefined ? undefined : `${other.name} is ${other.state}: ${other.why}`;
      } catch (error) {
        return `${error instanceof Error ? error.message : String(error)}\n${this.#process(router).lastWords(3)}`;
      }
    };
    return waitUntil(what, notYet, { deadlineMs: settleDeadlineMs });
  }

  async close(): Promise<void> {
    for (const process of this.#koi.values()) if (process.running) await process.stop(20_000).catch(() => undefined);
    this.topology.remove();
    removeDirectory(this.directory);
  }

  #process(router: Router): MainProcess {
    const known = this.#koi.get(router.name);
    if (known === undefined) throw new Error(`there is no ${router.name}`);
    return known;
  }

  #router(index: number): Router {
    const router = this.topology.routers[index];
    if (router === undefined) throw new Error(`there is no router ${index}`);
    return router;
  }

  #configuration(router: Router, priority: number): string {
    const common = { protocol: 'vrrp3', interface: 'eth1', priority, advertInterval: '200ms' };
    return JSON.stringify({
      cluster: 'edge',
      node: router.name,
      log: { servers: [this.#log.url] },
      http: { listen: `${router.managementAddress}:9650` },
      control: this.socket(router),
      stateDir: join(this.directory, router.name, 'state'),
      lanKeyFile: join(this.directory, 'lan.key'),
      virtualRouters: [
        { name: 'gw', id: 51, addresses: ['10.77.0.254/24'], preempt: { enabled: false }, ...common },
        { name: 'wired', id: 52, addresses: ['10.77.0.253/24'], arbitration: 'wire', ...common },
      ],
    });
  }
}
