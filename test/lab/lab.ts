import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nowMs } from './clock.js';
import { compile } from './compile.js';
import { type Daemon, signal } from './daemon.js';
import { removeDirectory } from './directory.js';
import { EventLogHosts } from './event-log.js';
import { run } from './ip.js';
import { keepalivedDaemon } from './keepalived.js';
import { type KernelState, readKernelState } from './kernel-state.js';
import { type KoiProgram, koiDaemon, writeLanKey } from './koi.js';
import { routeOf, writeMonitoredServer } from './log-server.js';
import type { LabOptions } from './options.js';
import { relayUrl } from './overseer.js';
import { Owners } from './owners.js';
import { Prober } from './prober.js';
import { Recorder } from './recorder.js';
import type { Timing } from './scenario.js';
import { replicasOf, type Setup } from './setup.js';
import { startLineTool, type Tool } from './tool.js';
import { createTopology, processesIn, type Topology, vip } from './topology.js';
import { ucarpDaemon } from './ucarp.js';
import { DeadlineError, waitUntil } from './wait.js';

const here = fileURLToPath(new URL('.', import.meta.url));
export const root = fileURLToPath(new URL('../..', import.meta.url));
export const outputDirectory = join(root, '.lab');
/** This checkout's Koi, on the Node that runs this. */
export const ownProgram: KoiProgram = { node: process.execPath, dist: join(root, 'dist') };

const priorities = [200, 150, 100] as const;
const flushEveryMs = 50;
const readyDeadlineMs = 30_000;
/** What each further virtual router may add to it. */
const readyDeadlinePerRouterMs = 150;

/** The running lab: hosts, daemons, the log, and everything that watches them. */
export class Lab {
  readonly topology: Topology;
  readonly daemons: readonly Daemon[];
  readonly setup: Setup;
  readonly log: EventLogHosts;
  readonly prober: Prober;
  /** Probers of the setup's sampled addresses. */
  readonly samplers: readonly Prober[];
  readonly recorder: Recorder;
  readonly owners: Owners;
  readonly timing: Timing;
  readonly say: (text: string) => void;
  /** Each router's kernel before any daemon ran there. */
  readonly baseline = new Map<string, KernelState>();
  readonly #flusher: Tool;
  readonly #directory: string = '';
  readonly #usesLog: boolean;

  /** Makes the hosts and starts the watchers; `open` starts the daemons. */
  constructor(options: LabOptions, setup: Setup, say: (text: string) => void, program: KoiProgram = ownProgram) {
    this.say = say;
    this.setup = setup;
    const advertIntervalMs = setup.advertIntervalMs ?? options.advertIntervalMs;
    this.#usesLog = options.implementation === 'koi';
    const logs = join(outputDirectory, 'last', setup.name);
    rmSync(logs, { recursive: true, force: true });
    mkdirSync(logs, { recursive: true });
    const tool = (name: string) => compile(here, name, join(outputDirectory, 'bin'));
    const [probe, record, owners, flush] = [tool('probe'), tool('record'), tool('owners'), tool('flush')];

    this.topology = createTopology({
      routerCount: options.routers,
      logHostCount: setup.logServers,
      lanCount: setup.lans ?? 1,
    });
    // Before anything else can fail: leaving by any way (the end, an error, Ctrl-C) removes the namespaces.
    process.on('exit', () => this.close());
    this.#directory = mkdtempSync(join(tmpdir(), `koi-lab-${process.pid}-`));
    const lanKeyFile = join(this.#directory, 'lan.key');
    writeLanKey(lanKeyFile);
    const embedded = setup.embedded === true ? this.topology.routers : [];
    this.log = new EventLogHosts({
      topology: this.topology,
      embedded: embedded.map(({ name, managementAddress: address }) => ({ name, address })),
      ...{ directory: this.#directory, logs, root },
    });
    const koi = {
      program,
      lanKeyFile,
      logUrls: setup.relayed ? [relayUrl] : this.log.urls,
      replicas: replicasOf(setup),
      embedded: setup.embedded === true ? this.#embeddedServer() : undefined,
      onLogLoss: setup.onLogLoss ?? 'wire',
      onPathSplit: setup.onPathSplit ?? 'hold',
      virtualRouters: setup.virtualRouters,
      guardTimeoutMs: setup.guardTimeoutMs ?? 300,
      preempts: setup.preempts ?? false,
      checksum: setup.checksum,
    };
    this.daemons = this.topology.routers.map((router, index) => {
      const each = {
        router,
        priority: priorities[index] ?? 100,
        advertIntervalMs,
        directory: this.#directory,
        logFile: join(logs, `${router.name}.log`),
      };
      if (options.implementation === 'koi') return koiDaemon({ ...each, ...koi });
      const peer = { ...each, virtualRouters: setup.virtualRouters };
      return options.implementation === 'ucarp' ? ucarpDaemon(peer) : keepalivedDaemon(peer);
    });
    const lowest = Math.min(...priorities.slice(0, options.routers));
    this.timing = {
      advertIntervalMs,
      skewMs: (advertIntervalMs * (256 - lowest)) / 256,
    };
    this.prober = new Prober(probe, this.topology.clientNetns, vip);
    this.samplers = (setup.sampled ?? []).map((address) => new Prober(probe, this.topology.clientNetns, address));
    this.recorder = new Recorder(record, this.topology, setup);
    this.owners = new Owners(
      owners,
      this.topology,
      setup.virtualRouters.map((each) => each.address),
    );
    const hosts = [this.topology.clientNetns, ...this.topology.routers.map((router) => router.netns)];
    this.#flusher = startLineTool(flush, [String(flushEveryMs), ...hosts], () => {});
  }

  /** What each router runs of the log itself; the lab sees what it says of the stream. */
  #embeddedServer(): { readonly binary: string; readonly routes: readonly string[] } {
    const addresses = [
      ...this.topology.routers.map((router) => router.managementAddress),
      ...this.topology.logHosts.map(({ address }) => address),
    ];
    return { binary: writeMonitoredServer(this.#directory, root), routes: addresses.map(routeOf) };
  }

  /** Waits for the watchers and remembers every kernel as it was. */
  async open(): Promise<void> {
    await this.recorder.ready();
    await this.owners.ready();
    if (this.log.clustered || this.setup.relayed) await this.log.overseer.start();
    for (const router of this.topology.routers) {
      // Addresses under duplicate detection would look like changes later.
      await waitUntil(
        `${router.name}'s addresses`,
        () => (run('ip', ['-n', router.netns, 'addr', 'show', 'tentative']) === '' ? undefined : 'some are tentative'),
        { deadlineMs: 10_000, everyMs: 100 },
      );
      this.baseline.set(router.name, readKernelState(router.netns));
    }
  }

  daemonOf(name: string): Daemon | undefined {
    return this.daemons.find((daemon) => daemon.router.name === name);
  }

  /** How long a router waits for its turn by the protocol's rules (RFC 9568 section 6.1). */
  skewOf(router: string): number {
    const index = this.daemons.findIndex((daemon) => daemon.router.name === router);
    return (this.timing.advertIntervalMs * (256 - (priorities[index] ?? 100))) / 256;
  }

  /** The router that holds the VIP. Throws unless there is exactly one. */
  master(): Daemon {
    const [name, ...others] = this.owners.now();
    const daemon = name === undefined ? undefined : this.daemonOf(name);
    if (daemon === undefined || others.length > 0)
      throw new Error(`the VIP is held by ${this.owners.now().join(', ')}`);
    return daemon;
  }

  /**
   * Repairs whatever the last run broke and waits until the cluster is whole: one master, the others ready as backups,
   * the log reached by all, every probe answered. Where that fails, all daemons are killed and started once more.
   */
  async makeWhole(): Promise<void> {
    try {
      await this.#repair();
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      this.say(`starting over: ${error.message}`);
      await this.killDaemons();
      await this.#repair();
      throw error;
    }
  }

  /** The first router alone, until it owns every address: then it is the master of all when {@link makeWhole} starts others. */
  async startFirst(): Promise<void> {
    if (this.#usesLog) await this.log.start();
    const [first] = this.daemons;
    const left = (): number =>
      this.setup.virtualRouters.filter(({ address }) => this.owners.now(address).length === 0).length;
    first?.start();
    await waitUntil('the first router to own all', () => (left() === 0 ? undefined : `${left()} are missing`), {
      deadlineMs: this.#readyDeadlineMs,
      everyMs: 100,
    });
  }

  get #readyDeadlineMs(): number {
    return readyDeadlineMs + readyDeadlinePerRouterMs * this.setup.virtualRouters.length;
  }

  async #repair(): Promise<void> {
    await this.topology.joinLan();
    for (const router of this.topology.routers) {
      await this.topology.mendLan(router);
      await this.topology.mendManagement(router);
    }
    if (this.#usesLog) await this.log.start();
    await waitUntil(
      'the cluster to be whole',
      () => {
        for (const daemon of this.daemons.filter((each) => !each.running)) daemon.start();
        return this.whole();
      },
      { deadlineMs: this.#readyDeadlineMs, everyMs: 100 },
    );
    if (this.#usesLog) await this.log.settle();
  }

  /** Why the cluster is not whole, or undefined. */
  async whole(): Promise<string | undefined> {
    const watcher = this.#flusher.failure() ?? this.recorder.incomplete();
    if (watcher !== undefined) throw new Error(watcher);
    for (const { name, address } of this.setup.virtualRouters) {
      const owners = this.owners.now(address);
      if (owners.length !== 1) return `${owners.join(' and ') || 'nobody'} holds the VIP of ${name}`;
    }
    const owners = this.owners.now();
    for (const daemon of this.daemons) {
      const expected = { owner: daemon.router.name === owners[0], logRunning: this.#usesLog && this.log.running };
      const reason = await daemon.notReady(expected);
      if (reason !== undefined) return reason;
    }
    return this.answering(300);
  }

  /** Whether every probe of the last `forMs` was answered, whichever address it went to; a reason if not. */
  answering(forMs: number): string | undefined {
    for (const prober of [this.prober, ...this.samplers]) {
      const reason = prober.answering(forMs);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /** Kills every process of every router, and waits for their end. */
  async killDaemons(): Promise<void> {
    const all = () => this.topology.routers.flatMap((router) => processesIn(router.netns));
    await waitUntil(
      'the daemons to end',
      () => {
        signal(all(), 'SIGKILL');
        return all().length === 0 && this.daemons.every((daemon) => !daemon.running) ? undefined : 'some still run';
      },
      { deadlineMs: 5_000 },
    );
  }

  /** Forgets what was recorded before, but for the margin that gaps reach back. */
  forget(): void {
    const before = nowMs() - 10 * this.timing.advertIntervalMs;
    for (const prober of [this.prober, ...this.samplers]) prober.forgetBefore(before);
    this.recorder.forgetBefore(before);
    this.owners.forgetBefore(before);
  }

  /** Ends the watchers and removes everything. */
  end(): void {
    for (const watcher of [this.prober, ...this.samplers, this.recorder, this.owners, this.#flusher]) watcher.end();
    this.close();
  }

  /** Removes everything; the watchers end with the process. Synchronous, for the moment of exit; safe twice. */
  close(): void {
    this.topology.remove();
    if (this.#directory !== '') removeDirectory(this.#directory);
  }
}
