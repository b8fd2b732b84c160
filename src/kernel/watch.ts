import { addressBytes } from '../wire/address.js';
import { type MacAddress, macBytes } from '../wire/mac.js';
import { vipProbeArpMark, vipProbeNdpMark } from '../wire/vip-probe.js';
import { assemble, type Instruction } from './bpf.js';
import { etherProtocol, PacketSocket, type PacketSocketOptions } from './packet.js';
import { coveringRanges, type Range } from './ranges.js';
import { untaggedOnly } from './tap.js';

/*
 * The detectors' own socket on a parent. It is apart from the tap that hears adverts: a storm of ARP fills this buffer,
 * is dropped here by the kernel, and delays no advert.
 */

/** What the detectors look for on an interface. */
export interface Watched {
  readonly addresses: readonly string[];
  readonly virtualMacs: readonly MacAddress[];
}

/** Classic BPF has no tables: so many comparisons a list, and a program stays well below the 256 instructions allowed. */
const rangesMax = 12;
/** VRRP's and CARP's virtual MACs begin with it (RFC 9568 §7.3). */
const virtualMacPrefix = 0x00005e00;
const outgoing = 4;

const word = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);

/** Goes to `keep` where A lies in one of the ranges, else on. */
function rangeChecks(name: string, ranges: readonly Range[]): Instruction[] {
  return ranges.flatMap(({ low, high }, index): Instruction[] => {
    const next = `${name} ${index}`;
    return [
      { op: 'ifGreaterOrEqual', value: low, no: next },
      { op: 'ifGreaterOrEqual', value: high + 1, no: 'keep' },
      { op: 'label', name: next },
    ];
  });
}

/**
 * What passes: ARP whose sender, and neighbour discovery whose speaker, may be one of the addresses (exactly is for the
 * reader to see: of many addresses it is ranges, of IPv6 the last 32 bits), except what this host says with a virtual MAC,
 * which is right and, under a flood of questions, a flood of answers; the probes of other nodes; and frames to everybody
 * from one of the virtual MACs, adverts excepted. Who asks for a virtual IP is nobody's concern here.
 */
export function watchProgram({ addresses, virtualMacs }: Watched): readonly Instruction[] {
  const bytes = addresses.map(addressBytes);
  const ipv4 = bytes.filter(({ length }) => length === 4).map((each) => word(each, 0));
  const ipv6 = bytes.filter(({ length }) => length === 16).map((each) => word(each, 12));
  const macs = virtualMacs.map((mac) => macBytes(mac)).map((each) => word(each, 2) & 0xffff);
  return [
    ...untaggedOnly,
    { op: 'load', bytes: 2, offset: 12 },
    { op: 'ifEqual', value: etherProtocol.arp, yes: 'arp' },
    { op: 'ifEqual', value: etherProtocol.ipv6, yes: 'ipv6' },
    { op: 'ifEqual', value: etherProtocol.ipv4, no: 'leak' },
    { op: 'load', bytes: 1, offset: 14 + 9 },
    { op: 'ifEqual', value: 112, yes: 'drop', no: 'leak' },

    { op: 'label', name: 'arp' },
    { op: 'loadAncillary', what: 'packetType' },
    { op: 'ifEqual', value: outgoing, no: 'heard arp' },
    { op: 'load', bytes: 4, offset: 14 + 8 },
    { op: 'ifEqual', value: virtualMacPrefix, yes: 'drop', no: 'arp sender' },
    { op: 'label', name: 'heard arp' },
    { op: 'load', bytes: 4, offset: 14 + 18 },
    { op: 'ifEqual', value: vipProbeArpMark, yes: 'keep' },
    { op: 'label', name: 'arp sender' },
    { op: 'load', bytes: 4, offset: 14 + 14 },
    ...rangeChecks('ipv4', coveringRanges(ipv4, rangesMax)),
    { op: 'goto', to: 'leak' },

    { op: 'label', name: 'ipv6' },
    { op: 'load', bytes: 1, offset: 14 + 6 },
    { op: 'ifEqual', value: 112, yes: 'drop' },
    { op: 'ifEqual', value: 58, no: 'leak' },
    { op: 'loadAncillary', what: 'packetType' },
    { op: 'ifEqual', value: outgoing, no: 'neighbour' },
    { op: 'load', bytes: 4, offset: 6 },
    { op: 'ifEqual', value: virtualMacPrefix, yes: 'drop' },
    { op: 'label', name: 'neighbour' },
    { op: 'load', bytes: 1, offset: 14 + 40 },
    { op: 'ifEqual', value: 136, yes: 'advertisement' },
    { op: 'ifEqual', value: 135, no: 'leak' },
    { op: 'load', bytes: 2, offset: 14 + 40 + 4 },
    { op: 'ifEqual', value: vipProbeNdpMark, yes: 'keep' },
    { op: 'load', bytes: 4, offset: 14 + 8 + 12 },
    { op: 'goto', to: 'speaker' },
    { op: 'label', name: 'advertisement' },
    { op: 'load', bytes: 4, offset: 14 + 40 + 8 + 12 },
    { op: 'label', name: 'speaker' },
    ...rangeChecks('ipv6', coveringRanges(ipv6, rangesMax)),

    { op: 'label', name: 'leak' },
    { op: 'loadAncillary', what: 'packetType' },
    { op: 'ifEqual', value: outgoing, yes: 'drop' },
    { op: 'load', bytes: 1, offset: 0 },
    { op: 'ifAnyBit', value: 1, no: 'drop' },
    { op: 'load', bytes: 4, offset: 6 },
    { op: 'ifEqual', value: virtualMacPrefix, no: 'drop' },
    { op: 'load', bytes: 2, offset: 10 },
    ...rangeChecks('mac', coveringRanges(macs, rangesMax)),
    { op: 'label', name: 'drop' },
    { op: 'return', bytes: 0 },
    { op: 'label', name: 'keep' },
    { op: 'return', bytes: 256 },
  ];
}

/** Small on purpose: what does not fit is dropped and counted, and holds no memory. */
const receiveBufferBytes = 512 * 1024;
const slotBytes = 256;

/** @throws KoiError as `PacketSocket.open` does */
export function openWatch(
  ifindex: number,
  watched: Watched,
  onFrame: NonNullable<PacketSocketOptions['onFrame']>,
): PacketSocket {
  return PacketSocket.open({
    ifindex,
    protocol: etherProtocol.all,
    filter: assemble(watchProgram(watched)),
    receiveBufferBytes,
    slotBytes,
    framesPerTurn: 64,
    onFrame,
  });
}
