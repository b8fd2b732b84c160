import { addressBytes } from './address.js';
import { arpProbe, arpRequest } from './arp.js';
import { updateChecksum } from './checksum.js';
import type { DemuxedFrame } from './demux.js';
import { ipPayloadOf } from './ip-frame.js';
import type { MacAddress } from './mac.js';
import { neighborSolicitation } from './ndp.js';
import { readU8, readU16, writeU16 } from './octets.js';

/*
 * What a backup asks the LAN: who has this virtual IP? An ordinary ARP request, or neighbour solicitation, from its own
 * address and MAC: hosts answer it as they answer a client. And what it tells the master when somebody answers wrongly:
 * announce again. That is an ARP request for the sender's own address, which nobody answers. Both carry a mark where
 * nobody else looks, as the probes of a challenged holder do.
 *
 *   ARP   target MAC 02:4b:4f:57:KK:II   no receiver of a request reads it (RFC 826; RFC 5227 §2.1.1)
 *   NS    reserved field 4b 57 KK II     receivers must ignore it (RFC 4861 §4.3)
 *
 * KK is 0 for the question, 1 for the wish that the master announce again; II the VRID or VHID. Nothing proves who sent
 * one: all that it can bring about is an announcement of what is true, at a bounded rate.
 */

/** The first four octets of the target MAC. */
export const vipProbeArpMark = 0x024b4f57;
export const vipProbeNdpMark = 0x4b57;
const arpMarkText = '02:4b:4f:57:';
const targetMacOffset = 14 + 18;
const reservedOffset = 4;

export interface VipProbe {
  readonly purpose: 'who_has' | 'announce_again';
  /** VRID or VHID. */
  readonly id: number;
  /** The sender's own address. */
  readonly source: string;
}

/** "Who has `vip`". @throws RangeError for addresses of two families */
export function buildVipProbe(probe: {
  readonly id: number;
  readonly vip: string;
  readonly source: string;
  readonly senderMac: MacAddress;
}): Uint8Array {
  const { id, vip: targetAddress, source: senderAddress, senderMac } = probe;
  const request = { senderMac, senderAddress, targetAddress };
  if (addressBytes(targetAddress).length === 4) return marked(arpProbe(request), 0, id);
  const frame = neighborSolicitation(request);
  const { offset } = ipPayloadOf(frame);
  replaceWord(frame, offset, reservedOffset, vipProbeNdpMark);
  replaceWord(frame, offset, reservedOffset + 2, id);
  return frame;
}

/** "Announce again", to the master of a virtual router, whatever family its addresses are of. */
export function buildAnnounceWish(wish: {
  readonly id: number;
  readonly source: string;
  readonly senderMac: MacAddress;
}): Uint8Array {
  const { id, source, senderMac } = wish;
  return marked(arpProbe({ senderMac, senderAddress: source, targetAddress: source }), 1, id);
}

function marked(frame: Uint8Array, purpose: 0 | 1, id: number): Uint8Array {
  frame.set([0x02, 0x4b, 0x4f, 0x57, purpose, id], targetMacOffset);
  return frame;
}

/** In an ICMPv6 message, with its checksum. */
function replaceWord(frame: Uint8Array, message: number, at: number, word: number): void {
  const checksum = updateChecksum(readU16(frame, message + 2), readU16(frame, message + at), word);
  writeU16(frame, message + 2, checksum);
  writeU16(frame, message + at, word);
}

/** The probe in a frame, most of which are none. @param octets of the frame */
export function readVipProbe(frame: DemuxedFrame, octets: Uint8Array): VipProbe | undefined {
  if (frame.kind === 'arp') {
    const { opcode, targetMac, senderAddress } = frame.packet;
    if (opcode !== arpRequest || !targetMac.startsWith(arpMarkText)) return undefined;
    return about(readU8(octets, targetMacOffset + 4), readU8(octets, targetMacOffset + 5), senderAddress);
  }
  if (frame.kind !== 'ndp' || frame.message.type !== 'solicitation') return undefined;
  const at = frame.payloadOffset + reservedOffset;
  if (readU16(octets, at) !== vipProbeNdpMark) return undefined;
  return about(readU8(octets, at + 2), readU8(octets, at + 3), frame.source);
}

function about(purpose: number, id: number, source: string): VipProbe | undefined {
  if (id === 0 || purpose > 1) return undefined;
  return { purpose: purpose === 1 ? 'announce_again' : 'who_has', id, source };
}
