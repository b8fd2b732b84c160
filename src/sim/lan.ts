import type { Candidacy } from '../core/election-rules.js';
import type { HeardNotice } from '../core/vr-state.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

interface FromNode {
  readonly from: number;
  readonly source: string;
  readonly vr: string;
}

/** `configuration`: the one that the advert is in, by its digest. Whoever has another refuses it. */
export type AdvertFrame = FromNode & {
  readonly kind: 'advert';
  readonly candidacy: Candidacy;
  readonly configuration: string;
};

/** What the simulation's frames say. */
export type LanFrame =
  | AdvertFrame
  /** A gratuitous ARP. As an advert, it carries the virtual MAC as its source. */
  | (FromNode & { readonly kind: 'announcement' })
  /** What a master tells the others of the cluster; `counter` grows with each one of a node. */
  | (FromNode & { readonly kind: 'notice'; readonly notice: HeardNotice; readonly counter: number })
  /** What a challenged holder sends to one node alone, from its own MAC. */
  | (FromNode & { readonly kind: 'probe'; readonly to: number });

/** Above these a path counts as sick: no bound on reactions holds over it. */
const wellDelayMs = 10;
/** Linux keeps an answer for 15 to 45 s. */
const arpCacheMs = 15_000;

/**
 * One LAN: a switch that learns where the virtual MAC is from whatever it forwards, the nodes' ports, and one client's
 * behind the last port. Paths break one way, both ways, per pair and per port; frames get lost, late and doubled.
 */
export class Lan {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #nodes: number;
  /** Broken directions, by faults that overlap: sender × (receiver, the client last). */
  readonly #blocks: number[][];
  readonly #carrierFaults: number[];
  /** Where the switch last saw the virtual MAC, as a client's frame finds it. */
  readonly #forwarding = new Map<string, number>();
  /** Until when the client goes by what it last heard of the virtual IP. */
  readonly #knownUntilMs = new Map<string, number>();
  lossRate = 0;
  duplicateRate = 0;
  delayMs: readonly [number, number] = [0.05, 0.4];
  deliver: (to: number, frame: LanFrame) => void = () => undefined;
  /** Some path changed. */
  changed = true;

  constructor(time: VirtualTime, random: Random, nodes: number) {
    this.#time = time;
    this.#random = random;
    this.#nodes = nodes;
    this.#blocks = Array.from({ length: nodes + 1 }, () => Array.from({ length: nodes + 1 }, () => 0));
    this.#carrierFaults = Array.from({ length: nodes }, () => 0);
  }

  get client(): number {
    return this.#nodes;
  }

  hasCarrier(node: number): boolean {
    return (this.#carrierFaults[node] ?? 0) === 0;
  }

  loseCarrier(node: number): void {
    this.#carrierFaults[node] = (this.#carrierFaults[node] ?? 0) + 1;
    this.changed = true;
  }

  regainCarrier(node: number): void {
    this.#carrierFaults[node] = Math.max(0, (this.#carrierFaults[node] ?? 0) - 1);
    this.changed = true;
  }

  /** Breaks the path from one port to another, once more (1) or once less (-1). */
  block(from: number, to: number, by: 1 | -1): void {
    const row = this.#blocks[from];
    if (row === undefined) return;
    row[to] = Math.max(0, (row[to] ?? 0) + by);
    this.changed = true;
  }

  /** Both hear each other, soon and surely. */
  joins(a: number, b: number): boolean {
    return this.passes(a, b) && this.passes(b, a) && this.lossRate === 0 && this.delayMs[1] <= wellDelayMs;
  }

  passes(from: number, to: number): boolean {
    return (this.#blocks[from]?.[to] ?? 0) === 0 && this.#isUp(from) && this.#isUp(to);
  }

  #isUp(port: number): boolean {
    return port === this.#nodes || this.hasCarrier(port);
  }

  /**
   * Which node the client's frame to the virtual IP reaches; undefined where it knows no MAC for it, or the switch no port.
   * What it does not know, or no more, it asks for: each holder that hears it answers, and the last one is believed.
   */
  portOf(vr: string, holders: readonly number[]): number | undefined {
    const nowMs = this.#time.nowMs();
    if (nowMs < (this.#knownUntilMs.get(vr) ?? 0)) return this.#forwarding.get(vr);
    const { client } = this;
    const last = this.#random.pickAny(holders.filter((each) => this.passes(client, each) && this.passes(each, client)));
    if (last === undefined) return undefined;
    this.#learn(vr, last);
    return last;
  }

  /** A frame with the virtual MAC, and the virtual IP in it, has come to the client. */
  #learn(vr: string, port: number): void {
    this.#forwarding.set(vr, port);
    this.#knownUntilMs.set(vr, this.#time.nowMs() + arpCacheMs);
  }

  send(frame: LanFrame): void {
    if (!this.hasCarrier(frame.from)) return;
    const isVirtualMac = frame.kind === 'advert' || frame.kind === 'announcement';
    if (isVirtualMac && this.passes(frame.from, this.client)) {
      this.#forwarding.set(frame.vr, frame.from);
      if (frame.kind === 'announcement') this.#learn(frame.vr, frame.from);
    }
    if (frame.kind === 'announcement') return;
    for (let to = 0; to < this.#nodes; to++) {
      if (to === frame.from || !this.passes(frame.from, to)) continue;
      if (frame.kind === 'probe' && to !== frame.to) continue;
      this.#carry(to, frame);
      if (this.duplicateRate > 0 && this.#random.chance(this.duplicateRate)) this.#carry(to, frame);
    }
  }

  #carry(to: number, frame: LanFrame): void {
    if (this.lossRate > 0 && this.#random.chance(this.lossRate)) return;
    this.#time.after(this.#random.between(...this.delayMs), () => this.deliver(to, frame));
  }
}
