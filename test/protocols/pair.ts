import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PortRecorder } from '../interop/port-recorder.js';
import { createSegment, powerOff, type Segment, serves } from '../interop/segment.js';
import { MainProcess } from '../lab/daemon.js';
import type { Router } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';

export type Rank = 'better' | 'worse';
/** What the virtual router says besides name and interface. */
export type RouterLines = Readonly<Record<string, unknown>>;

interface Side {
  readonly router: Router;
  readonly main: MainProcess;
  readonly configFile: string;
  readonly logFile: string;
  readonly recorder: PortRecorder;
}

const settleDeadlineMs = 15_000;
/** Readings in a row, so that a state which only passes by does not count. */
const steadyReadings = 5;

/** Two Koi routers on one segment, in mode `wire`, without a log: the protocol alone decides. */
export class KoiPair {
  readonly segment: Segment;
  readonly #addresses: readonly string[];
  readonly #sides: Readonly<Record<Rank, Side>>;
  readonly #directory: string;
  readonly #main: string;

  private constructor(
    segment: Segment,
    main: string,
    addresses: readonly string[],
    of: (rank: Rank, directory: string) => RouterLines,
  ) {
    this.segment = segment;
    this.#main = main;
    this.#addresses = addresses;
    this.#directory = mkdtempSync(join(tmpdir(), 'koi-pair-'));
    this.#sides = {
      better: this.#side(segment.koi, of('better', this.#directory)),
      worse: this.#side(segment.peer, of('worse', this.#directory)),
    };
  }

  /** @param of the virtual router of each, as in the configuration file; secrets go into the directory */
  static async begin(
    main: string,
    addresses: readonly string[],
    of: (rank: Rank, directory: string) => RouterLines,
  ): Promise<KoiPair> {
    const segment = await createSegment(6);
    try {
      const pair = new KoiPair(segment, main, addresses, of);
      for (const { recorder } of Object.values(pair.#sides)) await recorder.ready();
      return pair;
    } catch (error) {
      segment.topology.remove();
      throw error;
    }
  }

  #side(router: Router, lines: RouterLines): Side {
    const directory = join(this.#directory, router.name);
    mkdirSync(join(directory, 'state'), { recursive: true });
    const configFile = join(directory, 'koi.yaml');
    const socket = join(directory, 'koi.sock');
    const addresses = this.#addresses.map((address) => `${address}/${address.includes(':') ? 64 : 24}`);
    const config = {
      cluster: 'pair',
      node: router.name,
      log: { servers: ['nats://127.0.0.1:4222'] },
      arbitration: 'wire',
      control: socket,
      stateDir: join(directory, 'state'),
      virtualRouters: [{ name: 'gw', interface: 'eth1', id: 51, addresses, ...lines }],
    };
    writeFileSync(configFile, JSON.stringify(config));
    const logFile = join(directory, 'koi.log');
    writeFileSync(logFile, '');
    return {
      router,
      main: new MainProcess(router.netns, logFile),
      configFile,
      logFile,
      recorder: new PortRecorder(this.segment.topology.switchNetns, router.switchPort, join(directory, 'pcap')),
    };
  }

  start(rank: Rank): void {
    const { main, configFile } = this.#sides[rank];
    main.start(process.execPath, [this.#main, 'run', '-c', configFile]);
  }

  stop(rank: Rank): Promise<number | string> {
    return this.#sides[rank].main.stop(10_000);
  }

  async powerOff(rank: Rank): Promise<void> {
    await powerOff(this.segment, this.#sides[rank].router);
  }

  /** Waits until exactly these routers serve all addresses, for several readings in a row. */
  async settled(step: string, ...expected: readonly Rank[]): Promise<void> {
    let readings = 0;
    const read = (): string | undefined => {
      const reason = this.#notSettled(expected);
      readings = reason === undefined ? readings + 1 : 0;
      return reason ?? (readings < steadyReadings ? 'it has only just come to that' : undefined);
    };
    try {
      await waitUntil(step, read, { deadlineMs: settleDeadlineMs, everyMs: 50 });
    } catch (error) {
      const words = (['better', 'worse'] as const).flatMap((rank) => [
        `── ${rank}:`,
        ...this.#sides[rank].recorder.lastFrames(),
        this.#sides[rank].main.lastWords(12),
      ]);
      throw new Error([(error as Error).message, ...words].join('\n'));
    }
  }

  #notSettled(expected: readonly Rank[]): string | undefined {
    for (const rank of ['better', 'worse'] as const) {
      const served = serves(this.#sides[rank].router, this.#addresses);
      if (served !== (expected.includes(rank) ? 'all' : 'none')) return `the ${rank} serves ${served}`;
    }
    return undefined;
  }

  /** Waits until a line of a router's log has all of these words. */
  async says(rank: Rank, ...words: readonly string[]): Promise<void> {
    const { logFile } = this.#sides[rank];
    const said = (): string | undefined => {
      const text = readFileSync(logFile, 'utf8');
      const found = text.split('\n').some((line) => words.every((word) => line.includes(word)));
      return found ? undefined : `it said:\n${text.split('\n').slice(-15).join('\n')}`;
    };
    await waitUntil(`the ${rank} to say ${words.join(', ')}`, said, { deadlineMs: settleDeadlineMs, everyMs: 50 });
  }

  /**
   * Ends the records; what either router told others about an address with another MAC than the virtual one, and the
   * adverts that no receiver should take.
   */
  async judge(virtualMacOf: (address: string) => string): Promise<string[]> {
    const faults: string[] = [];
    for (const rank of ['better', 'worse'] as const) {
      const { recorder } = this.#sides[rank];
      await recorder.stop();
      for (const address of this.#addresses) {
        const told = recorder.bindings(address);
        if (told.length === 0) faults.push(`${rank} never spoke for ${address}`);
        for (const { mac, how } of told) {
          if (mac !== virtualMacOf(address)) faults.push(`${rank}, ${how}: ${address} is at ${mac}`);
        }
      }
      faults.push(...recorder.faultyAdverts('', true).map((fault) => `${rank}: ${fault}`));
    }
    return faults;
  }

  close(): void {
    this.segment.topology.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
