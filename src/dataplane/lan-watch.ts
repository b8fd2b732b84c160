import { claimOf } from '../core/detect/bindings.js';
import { RateLimit } from '../core/detect/rate.js';
import type { PacketSocket } from '../kernel/packet.js';
import { openWatch } from '../kernel/watch.js';
import { type DemuxedFrame, demuxFrame } from '../wire/demux.js';
import { type MacAddress, readMac } from '../wire/mac.js';
import { readU16 } from '../wire/octets.js';
import { readVipProbe, type VipProbe } from '../wire/vip-probe.js';
import type { Scheduler } from './scheduler.js';

/** Frames looked at: about one percent of a processor at most, whatever an attacker sends. */
const rate = { perSecond: 2000, burst: 512 };
/** Not looked at for so long once there were too many: the kernel drops and counts what does not fit. */
const restMs = 50;

/** A frame in words for an operator, whatever it is. */
function frameWords(frame: DemuxedFrame, bytes: Uint8Array): string {
  const claim = claimOf(frame);
  if (claim !== undefined) return `${claim.frame} from ${claim.vip}`;
  return `EtherType 0x${readU16(bytes, 12).toString(16).padStart(4, '0')} to ${readMac(bytes, 0)}`;
}

/** What a detector wants to hear of an interface. */
export interface WatchListener {
  /** The virtual MAC of each address that is watched here. */
  readonly vips: ReadonlyMap<string, MacAddress>;
  readonly virtualMacs: ReadonlySet<MacAddress>;
  readonly id: number;
  /** A frame speaks for one of the addresses. */
  claimed(frame: DemuxedFrame, seen: { readonly outgoing: boolean; readonly toUs: boolean }): void;
  /** A frame from one of the virtual MACs, which this host has not sent. @param inWords to be called at once */
  spoken(source: MacAddress, inWords: () => string): void;
  /** Another backup asks, or wishes that the master announce. */
  probed(probe: VipProbe): void;
}

export interface LanWatchOptions {
  /** Tells its timer from those of other interfaces. */
  readonly key: string;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly now: () => number;
  /** Runs before a frame is looked at. */
  readonly beforeFrames: () => void;
  /** Of `openWatch`. */
  readonly open?: typeof openWatch;
}

export interface WatchCounts {
  readonly frames: number;
  /** By the kernel, since nobody looked in time. */
  readonly dropped: number;
}

/** packet(7): to this host alone. */
const packetHost = 0;

/** The detectors' ear on a parent interface: what concerns the virtual addresses, at a bounded cost. */
export class LanWatch {
  readonly #options: LanWatchOptions;
  readonly #listeners = new Set<WatchListener>();
  readonly #byVip = new Map<string, WatchListener[]>();
  readonly #byMac = new Map<MacAddress, WatchListener[]>();
  readonly #byId = new Map<number, WatchListener[]>();
  readonly #rate = new RateLimit(rate);
  #socket: PacketSocket | undefined;
  #ifindex: number | undefined;
  #isResting = false;
  #frames = 0;
  #droppedBefore = 0;

  constructor(options: LanWatchOptions) {
    this.#options = options;
  }

  /** How many watch. */
  get size(): number {
    return this.#listeners.size;
  }

  add(listener: WatchListener): void {
    this.#listeners.add(listener);
    this.changed();
  }

  remove(listener: WatchListener): void {
    if (this.#listeners.delete(listener)) this.changed();
  }

  /** A listener watches other addresses now. */
  changed(): void {
    for (const index of [this.#byVip, this.#byMac, this.#byId]) index.clear();
    for (const listener of this.#listeners) {
      for (const vip of listener.vips.keys()) note(this.#byVip, vip, listener);
      for (const mac of listener.virtualMacs) note(this.#byMac, mac, listener);
      note(this.#byId, listener.id, listener);
    }
    this.#open();
  }

  /** The interface is another, or gone. */
  bind(ifindex: number | undefined): void {
    if (ifindex === this.#ifindex) return;
    this.#ifindex = ifindex;
    this.#open();
  }

  get counts(): WatchCounts {
    return { frames: this.#frames, dropped: this.#droppedBefore + (this.#socket?.drops() ?? 0) };
  }

  close(): void {
    this.#droppedBefore += this.#socket?.drops() ?? 0;
    this.#socket?.close();
    this.#socket = undefined;
    this.#rest(undefined);
  }

  #open(): void {
    this.close();
    if (this.#ifindex === undefined || this.#byVip.size === 0) return;
    const virtualMacs = [...this.#byMac.keys()];
    const watched = { addresses: [...this.#byVip.keys()], virtualMacs };
    const { open = openWatch } = this.#options;
    this.#socket = open(this.#ifindex, watched, (bytes, { outgoing, packetType }) =>
      this.#look(bytes, outgoing, packetType === packetHost),
    );
    this.#socket.start();
  }

  #look(bytes: Uint8Array, outgoing: boolean, toUs: boolean): void {
    const nowMs = this.#options.now();
    this.#frames += 1;
    if (!this.#rate.take(nowMs)) this.#rest(nowMs + restMs);
    this.#options.beforeFrames();
    const frame = demuxFrame(bytes);
    if (!outgoing) {
      const source = readMac(bytes, 6);
      const inWords = (): string => frameWords(frame, bytes);
      for (const listener of this.#byMac.get(source) ?? []) listener.spoken(source, inWords);
    }
    const probe = outgoing ? undefined : readVipProbe(frame, bytes);
    if (probe !== undefined) {
      for (const listener of this.#byId.get(probe.id) ?? []) listener.probed(probe);
      return;
    }
    const claim = claimOf(frame);
    if (claim === undefined) return;
    for (const listener of this.#byVip.get(claim.vip) ?? []) listener.claimed(frame, { outgoing, toUs });
  }

  #rest(untilMs: number | undefined): void {
    const name = `watch ${this.#options.key}`;
    if (untilMs === undefined) {
      this.#isResting = false;
      this.#options.scheduler.set(name, undefined, () => undefined);
      return;
    }
    if (this.#isResting) return;
    this.#isResting = true;
    this.#socket?.pause();
    this.#options.scheduler.set(name, untilMs, () => {
      this.#isResting = false;
      this.#socket?.start();
    });
  }
}

function note<Key>(index: Map<Key, WatchListener[]>, key: Key, listener: WatchListener): void {
  const known = index.get(key);
  if (known === undefined) index.set(key, [listener]);
  else known.push(listener);
}
