import { allocateFrame, ethernetHeaderLength, writeEthernet } from './ethernet.js';
import { broadcastMac, type MacAddress, writeMac } from './mac.js';
import { writeU16 } from './octets.js';

/*
 * Reverse ARP (RFC 903): ARP's layout with opcode 3.
 *   0  2  hardware type 1
 *   2  2  protocol type 0x0800
 *   4  2  address lengths 6 and 4
 *   6  2  opcode 3, "who am I?"
 *   8  6  sender MAC       14  4  sender address 0.0.0.0
 *  18  6  target MAC       24  4  target address 0.0.0.0
 */

export const rarpEtherType = 0x8035;
const rarpLength = 28;
const reverseRequest = 3;

/**
 * A broadcast that says nothing but where a MAC is, as hypervisors send when a machine has moved (QEMU's announce-self,
 * VMware's Notify Switches): every switch learns the port, no host learns an address, and no cache of a host is touched.
 */
export function macRefreshFrame(mac: MacAddress): Uint8Array {
  const frame = allocateFrame(rarpLength);
  writeEthernet(frame, 0, { destination: broadcastMac, source: mac, etherType: rarpEtherType });
  const at = ethernetHeaderLength;
  writeU16(frame, at, 1);
  writeU16(frame, at + 2, 0x0800);
  writeU16(frame, at + 4, 0x0604);
  writeU16(frame, at + 6, reverseRequest);
  writeMac(frame, at + 8, mac);
  writeMac(frame, at + 18, mac);
  return frame;
}
