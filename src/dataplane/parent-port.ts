import type { InterfaceSelector } from '../config/config.js';
import type { ParentFault } from '../core/reasons.js';
import type { Address } from '../kernel/addresses.js';
import type { AdvertPump, Repetition } from '../kernel/advert-pump.js';
import type { Link } from '../kernel/link.js';
import type { KernelMonitor } from '../kernel/monitor.js';
import type { Netlink } from '../kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../kernel/packet.js';
import { neighbourFilters, openAdvertTap, openNeighbourTap } from '../kernel/tap.js';
import { KoiError } from '../koi-error.js';
import { type CarpPacket, type DemuxedFrame, demuxFrame, type NoticeFrame, type VrrpPacket } from '../wire/demux.js';
import { readHolderProbe } from '../wire/holder-probe.js';
import { type MacAddress, parseMac } from '../wire/mac.js';
import type { AdvertRefusal, NoticeRefusal } from '../wire/reasons.js';
import type { AdvertMemory } from './advert-memory.js';
import { AdvertQueue, type OnRefused } from './advert-queue.js';
import { ArpSample } from './arp-sample.js';
import { describeAmbiguity, findLinks } from './find-link.js';
import { LanNeighbours } from './lan-neighbours.js';
import type { LanWatch } from './lan-watch.js';
import { Protocol112 } from './protocol-112.js';
import type { RefusalLog } from './protocol-refusals.js';
import { monotonicMs } from './scheduler.js';
import { StormGate } from './storm-gate.js';

/** Where VRRP and CARP adverts go, 224.0.0.18 and ff02::12, and answers to duplicate probes, ff02::1. */
const groupMacs: readonly string[] = ['01:00:5e:00:00:12', '33:33:00:00:00:12', '33:33:00:00:00:01'];

/** packet(7): this host has sent it. */
const outgoingPacket = 4;
/** Frames of ARP and neighbour discovery read before a decision: a storm of them must not put it off. */
const arpPerDrain = 256;

type LinkFault = Exclude<ParentFault, 'no_primary_address' | 'namespace_absent'>;

/** What a virtual router needs of the interface it lives on. */
export interface ParentState {
  /** Of the link; whether its addresses suffice is for each virtual router to say. */
  readonly fault: LinkFault | undefined;
  readonly ifindex: number | undefined;
  /** The present name: a label. */
  readonly name: string;
  readonly mac: MacAddress | undefined;
  /** Source of adverts over IPv4: the first address that is nobody's virtual one. */
  readonly primaryAddress: string | undefined;
  /** All of its own that can be used, to be the source of adverts to single peers. */
  readonly addresses: readonly string[];
  /** Source of adverts over IPv6: the first link-local address that is nobody's virtual one and passed detection. */
  readonly linkLocal: string | undefined;
}

export interface ParentListener {
  /** Whether virtual routers' adverts come in here for it; default: they do. */
  readonly hearsAdverts?: boolean;
  parentChanged(state: ParentState): void;
  /**
   * A frame from the wire; `octets` is a view into the receive buffer: copy what must last.
   * @param isFirst nobody before has taken it for its own
   * @returns whether it was an advert or a notice with this virtual router's id
   */
  received(frame: DemuxedFrame, octets: Uint8Array, isFirst: boolean): boolean;
  /** A frame that this host sent. */
  left(frame: DemuxedFrame): void;
}

/** One parent interface: bound by identity, tapped, and sent through. Shared by the virtual routers that live on it. */
export class ParentPort {
  /** What the detectors hear on it. */
  readonly watch: LanWatch;
  /** Adverts that need no second judgement. */
  readonly memory: AdvertMemory;
  readonly #queue = new AdvertQueue();
  readonly #selector: InterfaceSelector;
  readonly #monitor: KernelMonitor;
  readonly #virtualAddresses: ReadonlySet<string>;
  readonly #listeners: ParentListener[] = [];
  readonly #refused = new Map<string, number>();
  readonly #beforeFrames: () => void;
  readonly #refusals: RefusalLog;
  readonly #onWarning: (interfaceName: string, message: string) => void;
  readonly #stopListening: () => void;
  readonly #neighbours: LanNeighbours;
  readonly #storms = new StormGate();
  #state: ParentState;
  /** Adverts and notices; what else comes in has a socket of its own, of which a sample is looked at, behind them. */
  #adverts: PacketSocket | undefined;
  #arp: PacketSocket | undefined;
  readonly #arpSample = new ArpSample();
  #arpDroppedBefore = 0;
  #sender: PacketSocket | undefined;
  #protocol112: Protocol112 | undefined;
  /** The first look is told whatever it finds: nobody knows anything before. */
  #told = false;
  /** Why the sockets on the interface could not be opened. */
  #refusal: string | undefined;
  /** What was said of a selector that means several interfaces. */
  #ambiguity: string | undefined;

  constructor(options: {
    readonly selector: InterfaceSelector;
    readonly monitor: KernelMonitor;
    readonly netlink: Netlink;
    /** Never taken for the parent's own address, whoever put them there. */
    readonly virtualAddresses: ReadonlySet<string>;
    /** Runs before a frame is looked at. */
    readonly beforeFrames: () => void;
    readonly refusals: RefusalLog;
    /** What works less well on this interface than it should, a sentence each. */
    readonly onWarning: (interfaceName: string, message: string) => void;
    readonly watch: LanWatch;
    readonly memory: AdvertMemory;
  }) {
    this.watch = options.watch;
    this.memory = options.memory;
    this.#selector = options.selector;
    this.#monitor = options.monitor;
    this.#virtualAddresses = options.virtualAddresses;
    this.#beforeFrames = options.beforeFrames;
    this.#refusals = options.refusals;
    this.#onWarning = options.onWarning;
    this.#state = absent(this.#selector.value);
    this.#neighbours = new LanNeighbours({
      netlink: options.netlink,
      monitor: this.#monitor,
      virtualAddresses: this.#virtualAddresses,
      state: () => this.#state,
      send: (frames) => this.send(frames),
    });
    this.#stopListening = this.#monitor.on((event) => {
      const ifindex = 'link' in event ? event.link.ifindex : 'address' in event ? event.address.ifindex : undefined;
      if (this.#state.ifindex === undefined || ifindex === this.#state.ifindex) this.update();
    });
  }

  get state(): ParentState {
    return this.#state;
  }

  /** Refused adverts and notices by reason, cumulative. */
  get refused(): ReadonlyMap<string, number> {
    return this.#refused;
  }

  add(listener: ParentListener): void {
    this.memory.clear();
    this.#listeners.push(listener);
  }

  remove(listener: ParentListener): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  get isUsed(): boolean {
    return this.#listeners.length > 0;
  }

  /** Looks at the kernel's tables again and tells the listeners what changed. */
  update(): void {
    if (!this.#look()) return;
    for (const listener of this.#listeners) listener.parentChanged(this.#state);
  }

  /** The same for the first time: every listener makes its link then, each in its turn. */
  async begin(turn: () => Promise<void>): Promise<void> {
    if (!this.#look()) return;
    for (const listener of [...this.#listeners]) {
      await turn();
      if (this.#listeners.includes(listener)) listener.parentChanged(this.#state);
    }
  }

  /** Returns whether there is something to tell. */
  #look(): boolean {
    const link = this.#bound() ?? this.#find();
    const before = this.#state;
    this.#state = this.#judge(link);
    if (link?.ifindex !== this.#adverts?.ifindex && !this.#rebind(link)) this.#state = absent(this.#selector.value);
    else if (before.fault !== undefined && this.#state.fault === undefined) this.#protocol112?.joinAgain();
    const { fault, ifindex, name, primaryAddress, linkLocal, addresses } = this.#state;
    const isSame =
      fault === before.fault &&
      ifindex === before.ifindex &&
      name === before.name &&
      primaryAddress === before.primaryAddress &&
      linkLocal === before.linkLocal &&
      addresses.join() === before.addresses.join();
    if (isSame && this.#told) return false;
    this.#told = true;
    return true;
  }

  /**
   * Puts frames of one advert on the wire with all others that wait: at the end of this turn, or before anything else is sent.
   */
  queue(frames: readonly Uint8Array[], onRefused: OnRefused): void {
    this.#queue.add(frames, onRefused);
  }

  /** Sends what waits. */
  flush(): void {
    this.#queue.flush(this.#sender);
  }

  /** Puts frames on the wire; returns how many the kernel took. */
  send(frames: readonly Uint8Array[]): number {
    this.flush();
    return this.#sender?.send(frames).sent ?? 0;
  }

  /** Has frames sent again and again; undefined where that cannot be. */
  repeat(pump: Pick<AdvertPump, 'begin'>, repetition: Repetition): number | undefined {
    this.flush();
    return this.#sender === undefined ? undefined : pump.begin(this.#sender, repetition);
  }

  /** Sends the IP packets of frames for single hosts, by the kernel's routes; returns how many were taken. */
  sendRouted(frames: readonly Uint8Array[]): number {
    return this.#protocol112?.send(frames) ?? 0;
  }

  /** Whether the LAN carries what this host says, as its neighbours' answers show; as {@link LanLook.carries}. */
  carries(waitMs: number, freshMs?: number): Promise<boolean> {
    return this.#neighbours.look.carries(waitMs, freshMs);
  }

  /** The same for who would take over, as {@link LanLook.isAnswered}. */
  isAnswered(waitMs: number, freshMs: number): Promise<boolean> {
    return this.#neighbours.look.isAnswered(waitMs, freshMs);
  }

  /** The same where nothing hurries; `besides`: hosts that are there. Takes twice `waitMs` at most. */
  isHeard(waitMs: number, besides: readonly string[]): Promise<boolean> {
    return this.#neighbours.look.isHeard(waitMs, besides);
  }

  /** Goes the way of such a look, and asks nobody. */
  rehearseLook(): void {
    this.#neighbours.rehearse();
  }

  /** Reads, now, what waits in the kernel: it counts as heard. All adverts, and a little of the rest. */
  drain(): void {
    this.#adverts?.drain();
    this.#endStorm();
    this.#arp?.drain(arpPerDrain);
  }

  /** ARP and neighbour discovery that nobody looked at in time, since the start. */
  get arpDropped(): number {
    return this.#arpDroppedBefore + (this.#arp?.drops() ?? 0) + this.#arpSample.passedOver;
  }

  /** An advert or notice that came in here is not one to act upon: it is counted, and explained in the log. */
  refuse(
    packet: VrrpPacket | CarpPacket | NoticeFrame,
    reason: AdvertRefusal | NoticeRefusal,
    more: { vr?: string; detail?: string } = {},
  ): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
    const { source, etherSource: mac, id } = packet;
    const what = packet.kind === 'notice' ? 'notice' : 'advert';
    this.#refusals.refused({ what, interface: this.#state.name, source, mac, id, reason, ...more });
  }

  close(): void {
    this.flush();
    this.memory.bind(undefined);
    this.watch.bind(undefined);
    this.#arpDroppedBefore += this.#arp?.drops() ?? 0;
    this.#adverts?.close();
    this.#arp?.close();
    this.#storms.opened();
    this.#sender?.close();
    this.#protocol112?.close();
    this.#adverts = undefined;
    this.#arp = undefined;
    this.#sender = undefined;
    this.#protocol112 = undefined;
  }

  /** Closes for good: nobody is left who listens. */
  retire(): void {
    this.#stopListening();
    this.close();
  }

  /** Once found, an interface stays the same one, whatever it is called. */
  #bound(): Link | undefined {
    return this.#state.ifindex === undefined ? undefined : this.#monitor.links.get(this.#state.ifindex);
  }

  #find(): Link | undefined {
    const found = findLinks(this.#monitor.links.values(), this.#selector);
    const ambiguity = found.length > 1 ? describeAmbiguity(this.#selector, found) : undefined;
    if (ambiguity !== undefined && ambiguity !== this.#ambiguity) this.#onWarning(this.#selector.value, ambiguity);
    this.#ambiguity = ambiguity;
    return ambiguity === undefined ? found[0] : undefined;
  }

  #judge(link: Link | undefined): ParentState {
    if (link === undefined) return absent(this.#selector.value);
    const { ifindex, name, mac } = link;
    const primaryAddress = this.#ownAddress(ifindex, ({ family, flags }) => family === 4 && !flags.secondary);
    const linkLocal = this.#ownAddress(ifindex, ({ family, scope }) => family === 6 && scope === 'link');
    const addresses = this.#ownAddresses(ifindex).map(({ address }) => address);
    return { fault: linkFault(link), ifindex, name, mac, primaryAddress, linkLocal, addresses };
  }

  #ownAddress(ifindex: number, isWanted: (address: Address) => boolean): string | undefined {
    return this.#ownAddresses(ifindex).find(isWanted)?.address;
  }

  #ownAddresses(ifindex: number): Address[] {
    return [...this.#monitor.addressesOf(ifindex).values()].filter(
      ({ address, flags }) => !this.#virtualAddresses.has(address) && !flags.tentative && !flags.dadFailed,
    );
  }

  /** Looks again where the kernel would not give the sockets for it: that is told to nobody. */
  retry(): void {
    if (this.#refusal !== undefined) this.update();
  }

  /** Returns whether all is open that is to be: the interface may be gone by now, or the kernel be short of memory. */
  #rebind(link: Link | undefined): boolean {
    this.close();
    const refused = this.#refusal;
    this.#refusal = undefined;
    if (link === undefined) return true;
    try {
      this.#openOn(link);
      return true;
    } catch (error) {
      this.close();
      if (!(error instanceof KoiError)) throw error;
      this.#refusal = error.message;
      if (error.message !== refused) this.#onWarning(link.name, `it is not used: ${error.message}`);
      return false;
    }
  }

  #openOn(link: Link): void {
    const groups = groupMacs.map(parseMac).flatMap((mac) => (mac.ok ? [mac.value] : []));
    let atMs = 0;
    this.#adverts = openAdvertTap(link.ifindex, (bytes) => this.#heardAdvert(bytes), {
      multicast: groups,
      onBatch: () => {
        this.#beforeFrames();
        atMs = monotonicMs();
      },
      onRaw: (buffer, start, length) => this.memory.recognise(buffer, start, length, atMs),
    });
    this.#arp = openNeighbourTap(link.ifindex, (bytes, { outgoing }) => this.#heardArp(bytes, outgoing), {
      onBatch: () => {
        // An advert that waits is heard before whatever came with it.
        this.#adverts?.drain();
        atMs = monotonicMs();
      },
      onRaw: (_buffer, _start, _length, packetType) => this.#isPassedOver(packetType, atMs),
    });
    this.memory.bind(this.#adverts);
    this.#adverts.start();
    this.#arp.start();
    this.watch.bind(link.ifindex);
    this.#sender = PacketSocket.open({ ifindex: link.ifindex, protocol: etherProtocol.none });
    const onWarning = (message: string): void => this.#onWarning(this.#state.name, message);
    this.#protocol112 = Protocol112.open({ ifindex: link.ifindex, onWarning });
  }

  #heardAdvert(bytes: Uint8Array): void {
    const frame = demuxFrame(bytes);
    if (frame.kind === 'other') return;
    this.#beforeFrames();
    this.#receive(frame, bytes);
  }

  /** What this host sends is never too much: somebody waits to see it leave. */
  #isPassedOver(packetType: number, nowMs: number): boolean {
    this.#noteStorm(nowMs);
    return packetType !== outgoingPacket && !this.#arpSample.take(nowMs);
  }

  #heardArp(bytes: Uint8Array, outgoing: boolean): void {
    const frame = demuxFrame(bytes);
    if (frame.kind === 'other') return;
    this.#beforeFrames();
    if (outgoing) for (const listener of this.#listeners) listener.left(frame);
    else this.#receive(frame, bytes);
  }

  /** While there is a storm of ARP or neighbour discovery the kernel keeps out what is not for this host. */
  #noteStorm(nowMs: number): void {
    if (!this.#storms.noted(nowMs)) return;
    this.#arp?.refilter(neighbourFilters.storm);
    this.#onWarning(this.#state.name, 'a storm of ARP or neighbour discovery: it is kept out of the way of adverts');
  }

  #endStorm(): void {
    const { closedUntilMs } = this.#storms;
    if (closedUntilMs === undefined || monotonicMs() < closedUntilMs) return;
    this.#storms.opened();
    this.#arp?.refilter(neighbourFilters.everything);
  }

  #receive(frame: DemuxedFrame, bytes: Uint8Array): void {
    this.#neighbours.received(frame);
    const isForRouter = frame.kind === 'vrrp' || frame.kind === 'carp' || frame.kind === 'notice';
    // Of all that hosts ask each other, only the probes of challenged holders are for a virtual router.
    if (!isForRouter && readHolderProbe(frame, bytes) === undefined) return;
    let isClaimed = false;
    for (const listener of this.#listeners) isClaimed = listener.received(frame, bytes, !isClaimed) || isClaimed;
    const isHeard = this.#listeners.some(({ hearsAdverts }) => hearsAdverts !== false);
    if (isHeard && !isClaimed && isForRouter) this.refuse(frame, 'unknown_id');
  }
}

const absent = (name: string): ParentState => ({
  fault: 'parent_absent',
  ifindex: undefined,
  name,
  mac: undefined,
  primaryAddress: undefined,
  linkLocal: undefined,
  addresses: [],
});

/** Why an interface cannot carry adverts and addresses now. */
export function linkFault(link: Link): LinkFault | undefined {
  if (!link.flags.up) return 'parent_down';
  if (!link.carrier || !link.flags.lowerUp || (link.operstate !== 'up' && link.operstate !== 'unknown')) {
    return 'carrier_lost';
  }
  return undefined;
}
