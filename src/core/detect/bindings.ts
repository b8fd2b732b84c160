import type { ArpFrame, DemuxedFrame, NdpPacket } from '../../wire/demux.js';
import type { MacAddress } from '../../wire/mac.js';

/**
 * How a frame can bind a virtual IP to something that is not its virtual MAC. One word each: in metrics, in the log, in
 * `koi status`.
 */
export const wrongMacKinds = [
  /** A gratuitous ARP, in either opcode. */
  'arp_announcement',
  /** An ARP reply that this node did not ask for. */
  'arp_reply',
  /** An ARP request whose sender is the virtual IP: whoever is asked learns the MAC. */
  'arp_request',
  /** ARP or neighbour discovery say the virtual MAC, and the Ethernet header another: switches learn that one. */
  'ethernet_source',
  /** A neighbour advertisement. */
  'na',
  /** A neighbour solicitation from the virtual IP. */
  'ns',
  /** The answer to this node's own probe. */
  'probe_answer',
  /** This very host said it. */
  'own_frame',
] as const;
export type WrongMacKind = (typeof wrongMacKinds)[number];

export interface WrongBinding {
  readonly kind: WrongMacKind;
  readonly vip: string;
  /** What the virtual IP is bound to; of `ethernet_source`, what the switches see. */
  readonly mac: MacAddress;
  /** The frame in words. */
  readonly frame: string;
}

/** A virtual IP that a frame speaks for, and the MAC that it says. */
export interface Claim {
  readonly vip: string;
  readonly mac: MacAddress;
  readonly etherSource: MacAddress;
  readonly kind: Exclude<WrongMacKind, 'ethernet_source' | 'probe_answer' | 'own_frame'>;
  readonly frame: string;
}

const arpRequest = 1;
const arpReply = 2;

/** The address that a frame speaks for, whoever it belongs to; undefined where it binds none. */
export function claimOf(frame: DemuxedFrame): Claim | undefined {
  if (frame.kind === 'arp') return arpClaim(frame);
  return frame.kind === 'ndp' ? ndpClaim(frame) : undefined;
}

function arpClaim({ packet, etherSource }: ArpFrame): Claim {
  const { opcode, senderAddress: vip, targetAddress, senderMac: mac } = packet;
  const isAnnouncement = vip === targetAddress;
  const kind = isAnnouncement ? 'arp_announcement' : opcode === arpRequest ? 'arp_request' : 'arp_reply';
  const name = opcode === arpRequest ? 'request' : opcode === arpReply ? 'reply' : `opcode ${opcode}`;
  return { vip, mac, etherSource, kind, frame: `ARP ${name} for ${targetAddress}` };
}

function ndpClaim({ message, source, destination, etherSource }: NdpPacket): Claim | undefined {
  const mac = message.linkLayerAddress ?? etherSource;
  if (message.type === 'advertisement') {
    return { vip: message.target, mac, etherSource, kind: 'na', frame: `neighbour advertisement to ${destination}` };
  }
  // From `::` it asks whether the address is free, and binds nothing.
  if (source === '::') return undefined;
  return { vip: source, mac, etherSource, kind: 'ns', frame: `neighbour solicitation for ${message.target}` };
}

/** What is wrong with a claim to a virtual IP, if anything. @param virtualMac of that virtual IP */
export function judgeClaim(
  claim: Claim,
  virtualMac: MacAddress,
  seen: { readonly outgoing: boolean; readonly answersProbe: boolean },
): WrongBinding | undefined {
  const { vip, mac, etherSource, frame } = claim;
  if (mac !== virtualMac) {
    const kind = seen.outgoing ? 'own_frame' : seen.answersProbe ? 'probe_answer' : claim.kind;
    return { kind, vip, mac, frame };
  }
  if (etherSource === virtualMac) return undefined;
  return { kind: seen.outgoing ? 'own_frame' : 'ethernet_source', vip, mac: etherSource, frame };
}
