import { addressBytes } from './address.js';
import { arpProbe, arpRequest } from './arp.js';
import { updateChecksum } from './checksum.js';
import type { DemuxedFrame } from './demux.js';
import { ipPayloadOf } from './ip-frame.js';
import { type LanProtocol, lanProtocolNumber, lanProtocolOf } from './lan-datagram.js';
import type { MacAddress } from './mac.js';
import { neighborSolicitation } from './ndp.js';
import { readU8, readU16, writeU16 } from './octets.js';

/*
 * What a challenged holder sends the challenger over the LAN: an ordinary ARP request, or neighbour solicitation, from its
 * own address and MAC for the challenger's address. The kernel's own look the same, and say nothing of a virtual router:
 * so a probe is marked, where nobody else looks.
 *
 *   ARP   target MAC 02:4b:4f:49:PP:II   no receiver of a request reads it (RFC 826; RFC 5227 §2.1.1)
 *   NS    reserved field 4b 4f PP II     receivers must ignore it (RFC 4861 §4.3)
 *
 * PP is the protocol as in notices, II the VRID or VHID.
 */

export interface HolderProbe {
  readonly protocol: LanProtocol;
  /** VRID or VHID. */
  readonly id: number;
  /** The holder's own address, and the challenger's. */
  readonly source: string;
  readonly target: string;
}

/** Octets of the mark in common, in the target MAC and in the reserved field. */
const arpMark = '02:4b:4f:49:';
/** The first four octets of that target MAC. */
export const holderProbeArpMark = 0x024b4f49;
export const holderProbeNdpMark = 0x4b4f;
const ndpMark = holderProbeNdpMark;
/** In a neighbour solicitation. */
const reservedOffset = 4;
/** In an ARP request as a whole frame. */
const targetMacOffset = 14 + 18;

/** @param senderMac the parent's own, never a virtual one @throws RangeError for addresses of two families */
export function buildHolderProbe(probe: HolderProbe, senderMac: MacAddress): Uint8Array {
  const request = { senderMac, senderAddress: probe.source, targetAddress: probe.target };
  const about = (lanProtocolNumber(probe.protocol) << 8) | probe.id;
  if (addressBytes(probe.source).length === 4) {
    const frame = arpProbe(request);
    frame.set([0x02, 0x4b, 0x4f, 0x49, about >> 8, about & 0xff], targetMacOffset);
    return frame;
  }
  const frame = neighborSolicitation(request);
  const { offset } = ipPayloadOf(frame);
  replaceWord(frame, offset, reservedOffset, ndpMark);
  replaceWord(frame, offset, reservedOffset + 2, about);
  return frame;
}

/** In an ICMPv6 message, with its checksum. */
function replaceWord(frame: Uint8Array, message: number, at: number, word: number): void {
  const checksum = updateChecksum(readU16(frame, message + 2), readU16(frame, message + at), word);
  writeU16(frame, message + 2, checksum);
  writeU16(frame, message + at, word);
}

/** The probe in a frame, most of which are none. @param octets of the frame */
export function readHolderProbe(frame: DemuxedFrame, octets: Uint8Array): HolderProbe | undefined {
  if (frame.kind === 'arp') {
    const { opcode, targetMac, senderAddress: source, targetAddress: target } = frame.packet;
    if (opcode !== arpRequest || !targetMac.startsWith(arpMark)) return undefined;
    return aboutRouter(octets, targetMacOffset + 4, source, target);
  }
  if (frame.kind !== 'ndp' || frame.message.type !== 'solicitation') return undefined;
  const at = frame.payloadOffset + reservedOffset;
  return readU16(octets, at) === ndpMark ? aboutRouter(octets, at + 2, frame.source, frame.message.target) : undefined;
}

function aboutRouter(octets: Uint8Array, at: number, source: string, target: string): HolderProbe | undefined {
  const protocol = lanProtocolOf(readU8(octets, at));
  const id = readU8(octets, at + 1);
  return protocol === undefined || id === 0 ? undefined : { protocol, id, source, target };
}
