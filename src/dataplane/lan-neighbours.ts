import { LanLook, type Neighbours } from '../core/lan-look.js';
import { RecentSpeakers, worthAsking } from '../core/recent-speakers.js';
import { receivedFrames } from '../kernel/links.js';
import type { KernelMonitor } from '../kernel/monitor.js';
import { dumpNeighbours, type Neighbour } from '../kernel/neighbours.js';
import type { Netlink } from '../kernel/netlink.js';
import { rehearsals } from '../rehearsals.js';
import { arpProbe, arpReply } from '../wire/arp.js';
import type { DemuxedFrame } from '../wire/demux.js';
import { zeroMac } from '../wire/mac.js';
import { neighborSolicitation } from '../wire/ndp.js';

import type { ParentState } from './parent-port.js';

/** Enough that one of them is awake. */
const askedMost = 16;
/** Who is spoken with asks or is asked at least every 50 s; who never answered the kernel looks as if 60 s ago. */
const spokenWithinMs = 55_000;

export interface LanNeighboursOptions {
  readonly netlink: Netlink;
  readonly monitor: KernelMonitor;
  readonly virtualAddresses: ReadonlySet<string>;
  readonly state: () => ParentState;
  /** Puts frames on the wire; returns how many left. */
  readonly send: (frames: readonly Uint8Array[]) => number;
}

/**
 * Asks the hosts that have lately spoken behind an interface: those heard on it, and those that the kernel has met there
 * or on the virtual MACs on top of it. The kernel forgets whom it cannot reach, so that its word alone will not do.
 */
export class LanNeighbours {
  readonly look: LanLook;
  readonly #options: LanNeighboursOptions;
  readonly #speakers = new RecentSpeakers(askedMost);

  constructor(options: LanNeighboursOptions) {
    this.#options = options;
    this.look = new LanLook({
      neighbours: () => this.#neighbours(),
      ask: (addresses) => options.send(addresses.flatMap((address) => question(address, options.state()))),
      receivedFrames: () => this.#receivedFrames(),
      now: () => performance.now(),
      after: (ms, run) => void setTimeout(run, ms),
    });
  }

  /** A frame from the wire. */
  received(frame: DemuxedFrame): void {
    if (isAnswerTo(frame, this.#options.state())) this.look.answered();
    const sender = senderOf(frame);
    if (sender === undefined || this.#options.virtualAddresses.has(sender)) return;
    this.#speakers.heard(sender, performance.now());
  }

  /** Finds out whom a look would ask, and with what, and asks nobody. */
  rehearse(): void {
    for (let round = 0; round < rehearsals; round++) {
      const { lately, before } = this.#neighbours();
      for (const address of [...lately, ...before]) question(address, this.#options.state());
      this.#receivedFrames();
    }
  }

  #neighbours(): Neighbours {
    const { addresses, linkLocal } = this.#options.state();
    const own = new Set([...addresses, linkLocal]);
    const others = (found: readonly string[]): string[] => found.filter((address) => !own.has(address));
    const met = this.#met();
    const metLately = met.filter(({ confirmedAgoMs }) => confirmedAgoMs < spokenWithinMs).map(({ address }) => address);
    const heard = this.#speakers.since(performance.now() - spokenWithinMs);
    const lately = worthAsking(others(heard), others(metLately), askedMost);
    const ever = worthAsking(
      others(this.#speakers.since(Number.NEGATIVE_INFINITY)),
      others(met.map(({ address }) => address)),
      askedMost,
    );
    const before = ever.filter((address) => !lately.includes(address)).slice(0, askedMost - lately.length);
    return { lately, before };
  }

  #met(): Neighbour[] {
    const { netlink, monitor, virtualAddresses, state } = this.#options;
    const { ifindex } = state();
    const found = dumpNeighbours(netlink);
    if (ifindex === undefined || !found.ok) return [];
    const isHere = (at: number): boolean => at === ifindex || monitor.links.get(at)?.parentIfindex === ifindex;
    return found.value
      .filter(({ ifindex: at, address }) => isHere(at) && !virtualAddresses.has(address))
      .sort((a, b) => a.confirmedAgoMs - b.confirmedAgoMs);
  }

  #receivedFrames(): number | undefined {
    const { ifindex } = this.#options.state();
    const count = ifindex === undefined ? undefined : receivedFrames(this.#options.netlink, ifindex);
    return count?.ok === true ? count.value : undefined;
  }
}

/** Who asks or answers for itself; a probe for duplicates comes from nobody yet. */
function senderOf(frame: DemuxedFrame): string | undefined {
  if (frame.kind === 'arp') return frame.packet.senderAddress === '0.0.0.0' ? undefined : frame.packet.senderAddress;
  if (frame.kind !== 'ndp') return undefined;
  return frame.source === '::' ? undefined : frame.source;
}

/** From this host's own address and MAC; without an address of the family it is a probe, which changes no cache. */
function question(targetAddress: string, { mac, primaryAddress, linkLocal }: ParentState): Uint8Array[] {
  const senderMac = mac ?? zeroMac;
  if (targetAddress.includes('.')) {
    return [arpProbe({ senderMac, senderAddress: primaryAddress ?? '0.0.0.0', targetAddress })];
  }
  // From `::` it would be answered to everybody.
  return linkLocal === undefined ? [] : [neighborSolicitation({ senderMac, senderAddress: linkLocal, targetAddress })];
}

/** Somebody has answered this host itself: what it sends arrives, and what is sent to it. */
function isAnswerTo(frame: DemuxedFrame, { mac }: ParentState): boolean {
  if (frame.kind === 'arp') return frame.packet.opcode === arpReply && frame.packet.targetMac === mac;
  return frame.kind === 'ndp' && frame.message.type === 'advertisement' && frame.message.solicited;
}
