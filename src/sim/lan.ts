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

/** Address resolution, between hosts: the client is one of them. */
export type NeighbourFrame =
  /** To everybody on the LAN; whoever has the address answers. */
  | { readonly kind: 'whoHas'; readonly from: number; readonly source: string; readonly target: string }
  | { readonly kind: 'isAt'; readonly from: number; readonly source: string; readonly to: number };

/**
 * What is heard of the client. One that `asks` is heard by all whenever it looks for the virtual IP; one that is `quiet`
 * only sends to whoever serves it; of one that is `absent` nobody knows. Each answers who asks it.
 */
export type ClientManner = 'asks' | 'quiet' | 'absent';

export const clientAddress = '10.0.0.200';
/** Linux asks again once a second. */
const clientAsksEveryMs = 1000;

export const wellLanDelayMs: readonly [number, number] = [0.05, 0.4];
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
  readonly #ownRandom: Random;
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
  /** Adverts and notices go to a group; what does not is for single hosts, or for all of them. */
  floodsMulticast = true;
  delayMs: readonly [number, number] = wellLanDelayMs;
  deliver: (to: number, frame: LanFrame) => void = () => undefined;
  deliverNeighbour: (to: number, frame: NeighbourFrame) => void = () => undefined;
  /** The client has spoken with a node, as whoever serves it. */
  served: (node: number) => void = () => undefined;
  clientManner: ClientManner = 'asks';
  #clientAskedAtMs = Number.NEGATIVE_INFINITY;
  /** Some path changed. */
  changed = true;

  /** @param ownRandom for address resolution alone, so that a run is otherwise the run that its seed was without */
  constructor(time: VirtualTime, random: Random, ownRandom: Random, nodes: number) {
    this.#time = time;
    this.#random = random;
    this.#ownRandom = ownRandom;
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
    if (!this.floodsMulticast) return false;
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
    if (nowMs < (this.#knownUntilMs.get(vr) ?? 0)) return this.#reached(this.#forwarding.get(vr));
    const { client } = this;
    this.#clientAsks(nowMs);
    const last = this.#random.pickAny(holders.filter((each) => this.passes(client, each) && this.passes(each, client)));
    if (last === undefined) return undefined;
    this.#learn(vr, last);
    return this.#reached(last);
  }

  #reached(node: number | undefined): number | undefined {
    const { client } = this;
    if (node === undefined || this.clientManner === 'absent') return node;
    if (this.passes(client, node) && this.passes(node, client)) this.served(node);
    return node;
  }

  #clientAsks(nowMs: number): void {
    if (this.clientManner !== 'asks' || nowMs - this.#clientAskedAtMs < clientAsksEveryMs) return;
    this.#clientAskedAtMs = nowMs;
    this.resolve({ kind: 'whoHas', from: this.client, source: clientAddress, target: '' });
  }

  /** Carries address resolution; the client answers by itself. */
  resolve(frame: NeighbourFrame): void {
    const { client } = this;
    if (frame.from !== client && !this.hasCarrier(frame.from)) return;
    if (frame.kind === 'isAt') {
      if (this.passes(frame.from, frame.to)) this.#carryNeighbour(frame.to, frame);
      return;
    }
    for (let to = 0; to < this.#nodes; to++) {
      if (to !== frame.from && this.passes(frame.from, to)) this.#carryNeighbour(to, frame);
    }
    if (frame.target === clientAddress && this.passes(frame.from, client)) {
      this.#later(() => this.resolve({ kind: 'isAt', from: client, source: clientAddress, to: frame.from }));
    }
  }

  #carryNeighbour(to: number, frame: NeighbourFrame): void {
    this.#later(() => this.deliverNeighbour(to, frame));
  }

  #later(arrive: () => void): void {
    if (this.lossRate > 0 && this.#ownRandom.chance(this.lossRate)) return;
    this.#time.after(this.#ownRandom.between(...this.delayMs), arrive);
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
    if (frame.kind === 'announcement' || (frame.kind !== 'probe' && !this.floodsMulticast)) return;
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
