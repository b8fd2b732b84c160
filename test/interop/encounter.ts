import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nowMs } from '../lab/clock.js';
import { type Router, vip, vrid } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import type { Case } from './cases.js';
import { Client } from './client.js';
import type { Participant, Rank } from './company.js';
import { koiParticipant } from './koi-participant.js';
import { PortRecorder } from './port-recorder.js';
import { createSegment, globalVip, linkLocalVip, powerOff, type Segment, serves } from './segment.js';

const outputDirectory = fileURLToPath(new URL('../../.lab/interop', import.meta.url));
/** Readings in a row, so that a state which only passes by does not count. */
const steadyReadings = 8;
const readEveryMs = 30;
const settleDeadlineMs = 20_000;

interface Side {
  readonly router: Router;
  readonly participant: Participant;
  readonly recorder: PortRecorder;
  /** Whether it is meant to run. */
  on: boolean;
}

/** Koi and a neighbour on one segment, one of them ranked higher, a client who asks, and everything they say recorded. */
export class Encounter {
  /** What `koi check` has against its configuration. */
  readonly refused: readonly string[];
  /** Where the capture of what Koi said is kept. */
  readonly capture: string;
  readonly #segment: Segment;
  readonly #sides: Readonly<Record<Rank, Side>>;
  readonly #koiRank: Rank;
  readonly #addresses: readonly string[];
  readonly #virtualMac: string;
  readonly #unicast: boolean;
  readonly #client: Client;
  readonly #directory: string;

  private constructor(segment: Segment, row: Case, koiRank: Rank) {
    this.#segment = segment;
    this.#koiRank = koiRank;
    this.#addresses = row.family === 4 ? [vip] : [linkLocalVip, globalVip];
    const isVrrp6 = row.family === 6 && row.protocol !== 'carp';
    this.#virtualMac = `00:00:5e:00:0${isVrrp6 ? 2 : 1}:${vrid.toString(16).padStart(2, '0')}`;
    this.#unicast = row.unicast === true;
    this.#directory = mkdtempSync(join(tmpdir(), 'koi-interop-'));
    mkdirSync(outputDirectory, { recursive: true });
    const name = `${row.name}, koi ${koiRank}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
    const file = (what: string) => {
      const path = join(outputDirectory, `${name}-${what}`);
      writeFileSync(path, '');
      return path;
    };
    this.capture = file('koi.pcap');
    const common = { agreement: row, addresses: this.#addresses, directory: this.#directory };
    const { koi, peer, topology } = segment;
    const peerRank: Rank = koiRank === 'higher' ? 'lower' : 'higher';
    const koiRuns = koiParticipant({ ...common, rank: koiRank, router: koi, other: peer, logFile: file('koi.log') });
    const peerRuns = row.peer({ ...common, rank: peerRank, router: peer, other: koi, logFile: file('peer.log') });
    this.refused = koiRuns.refused;
    const side = (router: Router, participant: Participant, capture: string): Side => ({
      router,
      participant,
      recorder: new PortRecorder(topology.switchNetns, router.switchPort, capture),
      on: false,
    });
    const [koiSide, peerSide] = [side(koi, koiRuns, this.capture), side(peer, peerRuns, file('peer.pcap'))];
    this.#sides = koiRank === 'higher' ? { higher: koiSide, lower: peerSide } : { higher: peerSide, lower: koiSide };
    this.#client = new Client(topology.clientNetns, this.#addresses.at(-1) ?? vip);
  }

  static async begin(row: Case, koiRank: Rank): Promise<Encounter> {
    const segment = await createSegment(row.family);
    try {
      const encounter = new Encounter(segment, row, koiRank);
      for (const { recorder } of Object.values(encounter.#sides)) await recorder.ready();
      return encounter;
    } catch (error) {
      segment.topology.remove();
      throw error;
    }
  }

  async start(rank: Rank): Promise<void> {
    await this.#sides[rank].participant.start();
    this.#sides[rank].on = true;
  }

  /** SIGTERM; the exit code or signal. */
  async stop(rank: Rank): Promise<number | string> {
    this.#sides[rank].on = false;
    return this.#sides[rank].participant.stop();
  }

  async powerOff(rank: Rank): Promise<void> {
    this.#sides[rank].on = false;
    await powerOff(this.#segment, this.#sides[rank].router);
  }

  /** From now on the switch forwards nothing from or to this router, whose carrier stays. */
  async silence(rank: Rank): Promise<void> {
    await this.#segment.topology.silenceLan(this.#sides[rank].router);
  }

  async mend(rank: Rank): Promise<void> {
    await this.#segment.topology.mendLan(this.#sides[rank].router);
  }

  /**
   * Waits until the routers named, and no other, serve the virtual IPs by their kernels' account, each daemon agrees in
   * its own words, and the client is answered; and all that for several readings in a row.
   *
   * @throws Error with the reason of the last reading, what was on the wire, and the daemons' last words
   */
  async settled(step: string, ...expected: readonly Rank[]): Promise<void> {
    let readings = 0;
    let sinceMs = 0;
    const read = async (): Promise<string | undefined> => {
      const reason = await this.#notSettled(expected);
      readings = reason === undefined ? readings + 1 : 0;
      if (reason !== undefined) return reason;
      if (readings === 1) sinceMs = nowMs();
      if (readings < steadyReadings) return 'it has only just come to that';
      return expected.length === 0 ? undefined : this.#client.unansweredSince(sinceMs);
    };
    try {
      await waitUntil(step, read, { deadlineMs: settleDeadlineMs, everyMs: readEveryMs });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.#evidence()}\n(the whole capture: ${this.capture})`);
    }
  }

  async #notSettled(expected: readonly Rank[]): Promise<string | undefined> {
    for (const rank of ['higher', 'lower'] as const) {
      const reason = this.#sides[rank].on
        ? await this.#sides[rank].participant.notYet(expected.includes(rank))
        : undefined;
      if (reason !== undefined) return reason;
    }
    for (const rank of ['higher', 'lower'] as const) {
      const { router, participant } = this.#sides[rank];
      const served = serves(router, this.#addresses);
      if (served !== (expected.includes(rank) ? 'all' : 'none')) {
        return `${participant.name} (${rank}) serves ${served} of the virtual IPs`;
      }
    }
    return undefined;
  }

  /**
   * Ends the records, and judges what Koi told others about the virtual IPs.
   *
   * @returns the frames that bound one to another MAC than the virtual one, adverts no receiver should take, and the
   *   addresses Koi never spoke for
   */
  async judge(): Promise<{ wrong: string[]; faulty: string[]; silentAbout: string[] }> {
    for (const { recorder } of Object.values(this.#sides)) await recorder.stop();
    const { recorder } = this.#sides[this.#koiRank];
    const bindings = this.#addresses.map((address) => ({ address, told: recorder.bindings(address) }));
    const isRight = (mac: string) => mac === this.#virtualMac;
    return {
      wrong: bindings
        .flatMap(({ told }) => told)
        .filter(({ mac, etherSource }) => !isRight(mac) || !isRight(etherSource))
        .map(({ how, address, mac, etherSource }) => `${how}: ${address} is at ${mac}, sent from ${etherSource}`),
      faulty: recorder.faultyAdverts(this.#virtualMac, this.#unicast),
      silentAbout: bindings.filter(({ told }) => told.length === 0).map(({ address }) => address),
    };
  }

  /** Ends and removes everything. Never throws; safe twice. */
  close(): void {
    this.#client.stop();
    this.#segment.topology.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #evidence(): string {
    return (['higher', 'lower'] as const)
      .flatMap((rank) => {
        const { participant, recorder } = this.#sides[rank];
        return [
          `── ${participant.name} (${rank}) on the wire:`,
          ...recorder.lastFrames(),
          `── ${participant.name} (${rank}) says:`,
          participant.lastWords(),
        ];
      })
      .join('\n');
  }
}
