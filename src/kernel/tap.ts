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
 * What a tap lets through, as a BPF program: untagged ARP, IPv4 with protocol 112 (VRRP, CARP), IPv6 with next header
 * 112, ICMPv6 neighbour solicitations and advertisements (135, 136), and over both Koi's own datagrams, by their UDP
 * port; those have neither IP options nor fragments.
 *
 * Where the card strips the VLAN tag the frame looks untagged, and only the ancillary data tell: a frame of a VLAN on
 * this link is somebody else's broadcast domain. Tag 0 is priority without a VLAN (IEEE 802.1Q) and passes.
 *
 * Adverts that this host sends stay out: nobody waits to see them leave, and they are most of what a master would read.
 *
 * The tag counts only while it is said to be present. A VLAN device takes it away by that bit alone, and up to Linux 6.1
 * its number stays behind: whoever asks for the number only hears nothing at all on a VLAN device.
 */
export const tapProgram: readonly Instruction[] = [
  { op: 'loadAncillary', what: 'vlanTagPresent' },
  { op: 'ifEqual', value: 0, yes: 'untagged' },
  { op: 'loadAncillary', what: 'vlanTag' },
  { op: 'ifAnyBit', value: 0x0fff, yes: 'drop' },
  { op: 'label', name: 'untagged' },
  { op: 'load', bytes: 2, offset: 12 },
  { op: 'ifEqual', value: etherProtocol.arp, yes: 'keep' },
  { op: 'ifEqual', value: etherProtocol.ipv4, yes: 'ipv4' },
  { op: 'ifEqual', value: etherProtocol.ipv6, yes: 'ipv6', no: 'drop' },
  { op: 'label', name: 'ipv4' },
  { op: 'load', bytes: 1, offset: 14 + 9 },
  { op: 'ifEqual', value: 112, yes: 'advert' },
  { op: 'ifEqual', value: udpProtocol, no: 'drop' },
  { op: 'load', bytes: 1, offset: 14 },
  { op: 'ifEqual', value: 0x45, no: 'drop' },
  { op: 'load', bytes: 2, offset: 14 + 6 },
  { op: 'ifAnyBit', value: 0x3fff, yes: 'drop' },
  { op: 'load', bytes: 2, offset: 14 + 20 + 2 },
  { op: 'ifEqual', value: lanDatagramPort, yes: 'keep', no: 'drop' },
  { op: 'label', name: 'ipv6' },
  { op: 'load', bytes: 1, offset: 14 + 6 },
  { op: 'ifEqual', value: 112, yes: 'advert' },
  { op: 'ifEqual', value: udpProtocol, yes: 'udp6' },
  { op: 'ifEqual', value: 58, no: 'drop' },
  { op: 'load', bytes: 1, offset: 14 + 40 },
  { op: 'ifEqual', value: 135, yes: 'keep' },
  { op: 'ifEqual', value: 136, yes: 'keep', no: 'drop' },
  { op: 'label', name: 'udp6' },
  { op: 'load', bytes: 2, offset: 14 + 40 + 2 },
  { op: 'ifEqual', value: lanDatagramPort, yes: 'keep', no: 'drop' },
  { op: 'label', name: 'advert' },
  { op: 'loadAncillary', what: 'packetType' },
  { op: 'ifEqual', value: outgoing, no: 'keep' },
  { op: 'label', name: 'drop' },
  { op: 'return', bytes: 0 },
  { op: 'label', name: 'keep' },
  { op: 'return', bytes: 0xffff },
];

/**
 * The same in a storm: of ARP and neighbour discovery it keeps what is for this host alone, the probes of challenged
 * holders, by their mark, and announcements that leave. The rest stays out, and takes no advert's place in the buffer.
 */
export const stormTapProgram: readonly Instruction[] = tapProgram.flatMap((instruction): Instruction[] => {
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

export const tapFilters = { everything: assemble(tapProgram), storm: assemble(stormTapProgram) } as const;

/**
 * A passive tap on a parent interface: everything on the wire that concerns Koi, in both directions.
 *
 * ETH_P_ALL, because a tap for a single ethertype neither sees outgoing frames nor a rival that uses the same virtual
 * MAC. Frames this host sends come marked `outgoing` (PACKET_OUTGOING), which is the receipt that an announcement left;
 * PACKET_IGNORE_OUTGOING must stay off. The kernel leaves out only what was sent through this very socket, so announce
 * through another one.
 */
export function openTap(
  ifindex: number,
  onFrame: NonNullable<PacketSocketOptions['onFrame']>,
  options: Omit<PacketSocketOptions, 'ifindex' | 'protocol' | 'filter' | 'onFrame'> = {},
): PacketSocket {
  const filter = tapFilters.everything;
  return PacketSocket.open({ ...options, ifindex, protocol: etherProtocol.all, filter, onFrame });
}
