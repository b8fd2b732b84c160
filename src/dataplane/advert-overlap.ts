import type { AdvertPacket, AdvertSources, Judgement, ProtocolAdapter } from './protocol-adapter.js';

/** How long adverts of the configuration before are taken after a switch: longer than NATS takes to elect a leader. */
export const overlapMs = 15_000;

/**
 * Adverts in two configurations at once. The nodes of a virtual router read the switch within milliseconds of each other,
 * but not at one instant: whoever has prepared another configuration takes adverts in it already, and for a while after
 * the switch those in the one before.
 */
export class AdvertOverlap {
  #expected: ProtocolAdapter | undefined;
  #former: { readonly adapter: ProtocolAdapter; readonly untilMs: number } | undefined;

  /** Another configuration is prepared; undefined where none is any more. */
  expect(adapter: ProtocolAdapter | undefined): void {
    this.#expected = adapter;
  }

  /** This one was in force until now. */
  replaced(adapter: ProtocolAdapter, atMs: number): void {
    this.#former = { adapter, untilMs: atMs + overlapMs };
  }

  /** What to make of an advert: the present configuration's word, unless that refuses it and another one takes it. */
  judge(
    present: ProtocolAdapter,
    packet: AdvertPacket,
    frame: Uint8Array,
    sources: AdvertSources,
    atMs: number,
  ): Judgement {
    if (this.#former !== undefined && atMs >= this.#former.untilMs) this.#former = undefined;
    const judgement = present.judge(packet, frame, sources);
    if (judgement.kind !== 'refused') return judgement;
    for (const other of [this.#expected, this.#former?.adapter]) {
      if (other === undefined || !other.families.includes(packet.family)) continue;
      const second = other.judge(packet, frame, sources);
      if (second.kind !== 'refused') return second;
    }
    return judgement;
  }
}
