import { ConfigurationOverlap } from '../core/configuration-overlap.js';
import type { AdvertPacket, AdvertSources, Judgement, ProtocolAdapter } from './protocol-adapter.js';

/** What to make of an advert while two configurations may be on the wire. */
export class AdvertOverlap extends ConfigurationOverlap<ProtocolAdapter> {
  /** The present configuration's word, unless that refuses it and another one takes it. */
  judge(
    present: ProtocolAdapter,
    packet: AdvertPacket,
    frame: Uint8Array,
    sources: AdvertSources,
    atMs: number,
  ): Judgement {
    const judgement = present.judge(packet, frame, sources);
    if (judgement.kind !== 'refused') return judgement;
    for (const other of this.others(atMs)) {
      if (!other.families.includes(packet.family)) continue;
      const second = other.judge(packet, frame, sources);
      if (second.kind !== 'refused') return second;
    }
    return judgement;
  }
}
