import { arpReply } from '../wire/arp.js';
import { holderProbeArpMark, holderProbeNdpMark } from '../wire/holder-probe.js';
import { lanDatagramPort } from '../wire/lan-datagram.js';
import { udpProtocol } from '../wire/udp.js';
import { assemble, type Instruction } from './bpf.js';
import { etherProtocol, PacketSocket, type PacketSocketOptions } from './packet.js';

/** PACKET_HOST and PACKET_OUTGOING (linux/if_packet.h). */
const toThisHost = 0;
const outgoing = 4;

/**
 * Only frames of this very link go on. Where the card strips the VLAN tag the frame looks untagged, and only the ancillary
 * data tell: a frame of a VLAN on this link is somebody else's broadcast domain. Tag 0 is priority without a VLAN (IEEE
 * 802.1Q) and passes.
 *
 * The tag counts only while it is said to be present. A VLAN device takes it away by that bit alone, and up to Linux 6.1
 * its number stays behind: whoever asks for the number only hears nothing at all on a VLAN device.
 */
export const untaggedOnly: readonly Instruction[] = [
  { op: 'loadAncillary', what: 'vlanTagPresent' },
  { op: 'ifEqual', value: 0, yes: 'untagged' },
  { op: 'loadAncillary', what: 'vlanTag' },
  { op: 'ifAnyBit', value: 0x0fff, yes: 'drop' },
  { op: 'label', name: 'untagged' },
];

const verdicts: readonly Instruction[] = [
  { op: 'label', name: 'drop' },
  { op: 'return', bytes: 0 },
  { op: 'label', name: 'keep' },
  { op: 'return', bytes: 0xffff },
];

/**
 * The adverts of others: IPv4 with protocol 112 (VRRP, CARP), IPv6 with next header 112, and over both Koi's own datagrams,
 * by their UDP port; those have neither IP options nor fragments. What this host sends stays out: nobody waits to see it
 * leave, and it is most of what a master would read.
 */
export const advertTapProgram: readonly Instruction[] = [
  ...untaggedOnly,
  { op: 'loadAncillary', what: 'packetType' },
  { op: 'ifEqual', value: outgoing, yes: 'drop' },
  { op: 'load', bytes: 2, offset: 12 },
  { op: 'ifEqual', value: etherProtocol.ipv4, yes: 'ipv4' },
  { op: 'ifEqual', value: etherProtocol.ipv6, yes: 'ipv6', no: 'drop' },
  { op: 'label', name: 'ipv4' },
  { op: 'load', bytes: 1, offset: 14 + 9 },
  { op: 'ifEqual', value: 112, yes: 'keep' },
  { op: 'ifEqual', value: udpProtocol, no: 'drop' },
  { op: 'load', bytes: 1, offset: 14 },
  { op: 'ifEqual', value: 0x45, no: 'drop' },
  { op: 'load', bytes: 2, offset: 14 + 6 },
  { op: 'ifAnyBit', value: 0x3fff, yes: 'drop' },
  { op: 'load', bytes: 2, offset: 14 + 20 + 2 },
  { op: 'ifEqual', value: lanDatagramPort, yes: 'keep', no: 'drop' },
  { op: 'label', name: 'ipv6' },
  { op: 'load', bytes: 1, offset: 14 + 6 },
  { op: 'ifEqual', value: 112, yes: 'keep' },
  { op: 'ifEqual', value: udpProtocol, no: 'drop' },
  { op: 'load', bytes: 2, offset: 14 + 40 + 2 },
  { op: 'ifEqual', value: lanDatagramPort, yes: 'keep', no: 'drop' },
  ...verdicts,
];

/** ARP and ICMPv6 neighbour solicitations and advertisements (135, 136), of this host as well. */
export const neighbourTapProgram: readonly Instruction[] = [
  ...untaggedOnly,
  { op: 'load', bytes: 2, offset: 12 },
  { op: 'ifEqual', value: etherProtocol.arp, yes: 'keep' },
  { op: 'ifEqual', value: etherProtocol.ipv6, no: 'drop' },
  { op: 'load', bytes: 1, offset: 14 + 6 },
  { op: 'ifEqual', value: 58, no: 'drop' },
  { op: 'load', bytes: 1, offset: 14 + 40 },
  { op: 'ifEqual', value: 135, yes: 'keep' },
  { op: 'ifEqual', value: 136, yes: 'keep', no: 'drop' },
  ...verdicts,
];

/**
 * The same in a storm: what is for this host alone, the probes of challenged holders, by their mark, and announcements that
 * leave. The rest stays out, and takes neither their place in the buffer nor the time of whoever reads it.
 */
export const stormTapProgram: readonly Instruction[] = neighbourTapProgram.flatMap((instruction): Instruction[] => {
  if (instruction.op === 'ifEqual' && instruction.value === etherProtocol.arp) return [{ ...instruction, yes: 'arp' }];
  if (instruction.op === 'ifEqual' && instruction.value === 135) return [{ ...instruction, yes: 'solicitation' }];
  if (instruction.op === 'ifEqual' && instruction.value === 136) return [{ ...instruction, yes: 'spoken' }];
  if (instruction.op !== 'label' || instruction.name !== 'drop') return [instruction];
  return [
    { op: 'goto', to: 'drop' },
    { op: 'label', name: 'solicitation' },
    { op: 'load', bytes: 2, offset: 14 + 40 + 4 },
    { op: 'ifEqual', value: holderProbeNdpMark, yes: 'keep', no: 'drop' },
    { op: 'label', name: 'arp' },
    { op: 'load', bytes: 4, offset: 14 + 18 },
    { op: 'ifEqual', value: holderProbeArpMark, yes: 'keep' },
    { op: 'load', bytes: 2, offset: 14 + 6 },
    { op: 'ifEqual', value: arpReply, yes: 'spoken' },
    { op: 'goto', to: 'left' },
    { op: 'label', name: 'spoken' },
    { op: 'loadAncillary', what: 'packetType' },
    { op: 'ifEqual', value: toThisHost, yes: 'keep' },
    { op: 'label', name: 'left' },
    { op: 'loadAncillary', what: 'packetType' },
    { op: 'ifEqual', value: outgoing, no: 'drop' },
    { op: 'load', bytes: 1, offset: 0 },
    { op: 'ifAnyBit', value: 1, yes: 'keep' },
    instruction,
  ];
});

export const neighbourFilters = {
  everything: assemble(neighbourTapProgram),
  storm: assemble(stormTapProgram),
} as const;

type OnFrame = NonNullable<PacketSocketOptions['onFrame']>;
type More = Omit<PacketSocketOptions, 'ifindex' | 'protocol' | 'filter' | 'onFrame'>;

/*
 * The passive taps on a parent interface. Each is bound to ETH_P_ALL, because a tap for a single ethertype neither sees
 * outgoing frames nor a rival that uses the same virtual MAC; and each has a buffer of its own, so that no storm of ARP takes
 * the place of an advert.
 */

/** Hears the adverts and notices of others. */
export function openAdvertTap(ifindex: number, onFrame: OnFrame, more: More = {}): PacketSocket {
  return PacketSocket.open({
    ...more,
    ifindex,
    protocol: etherProtocol.all,
    filter: assemble(advertTapProgram),
    ignoresOutgoing: true,
    onFrame,
  });
}

/**
 * Hears ARP and neighbour discovery, in both directions. Frames this host sends come marked `outgoing` (PACKET_OUTGOING),
 * which is the receipt that an announcement left; PACKET_IGNORE_OUTGOING must stay off. The kernel leaves out only what was
 * sent through this very socket, so announce through another one.
 */
export function openNeighbourTap(ifindex: number, onFrame: OnFrame, more: More = {}): PacketSocket {
  return PacketSocket.open({
    slotBytes: 256,
    ...more,
    ifindex,
    protocol: etherProtocol.all,
    filter: neighbourFilters.everything,
    onFrame,
  });
}
