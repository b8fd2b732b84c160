import { type AddressFamily, addressBytes } from '../wire/address.js';
import { ethernetHeaderLength } from '../wire/ethernet.js';
import { ipDestinationOf, ipPayloadOf } from '../wire/ip-frame.js';
import { vrrpProtocol } from '../wire/vrrp.js';
import { vrrpGroupIpv4, vrrpGroupIpv6 } from '../wire/vrrp-frame.js';
import { openRawSocket, type RawSocket } from './raw-socket.js';

/* asm-generic/socket.h, linux/in.h, linux/in6.h */
const SOL_SOCKET = 1;
const SO_BINDTOIFINDEX = 62;
const SOL_IP = 0;
const IP_ADD_MEMBERSHIP = 35;
const IP_DROP_MEMBERSHIP = 36;
const IP_MULTICAST_ALL = 49;
const SOL_IPV6 = 41;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_DROP_MEMBERSHIP = 21;
const IPV6_MULTICAST_ALL = 29;
/** IPPROTO_RAW: nothing is received, and what is sent brings its own IP header. */
const rawProtocol = 255;

export interface Protocol112Options {
  readonly ifindex: number;
  /** What goes wrong after it was opened, a sentence each; nothing here stops anything else. */
  readonly onWarning: (message: string) => void;
}

/**
 * Protocol 112 of one parent, as the kernel's own IP stack sees it. Adverts are read from the tap; this is for what a
 * packet socket cannot do:
 *
 * - while it is open the kernel has somebody to give protocol 112 to, and answers no unicast advert with ICMP "protocol
 *   unreachable";
 * - it is a member of the advert groups, so that IGMP and MLD reports tell snooping switches where to send them;
 * - it sends adverts to single peers by the kernel's routes and neighbour table, from the parent's own MAC.
 *
 * Two sockets do it. The one of protocol 112 is given unicast packets only, and read: the kernel counts a socket that is
 * full for none (raw_v4_input() in net/ipv4/raw.c). The other, of IPPROTO_RAW, receives nothing, sends, and is the member.
 */
export class Protocol112 {
  readonly #options: Protocol112Options;
  readonly #receivers: RawSocket[] = [];
  /** Members of the groups. */
  readonly #senders = new Map<AddressFamily, RawSocket>();
  /** Where the last advert could not be sent to: told once until one gets through. */
  readonly #unreachable = new Set<string>();
  #failed = 0;

  private constructor(options: Protocol112Options) {
    this.#options = options;
  }

  /** A family that the host does not have, or a package that is not there, is a warning: all but unicast goes on. */
  static open(options: Protocol112Options): Protocol112 {
    const opened = new Protocol112(options);
    for (const family of [4, 6] as const) opened.#open(family);
    return opened;
  }

  /** Whether adverts to single peers can be sent. */
  sends(family: AddressFamily): boolean {
    return this.#senders.has(family);
  }

  /** Frames that the kernel would not take for sending, cumulative. */
  get failed(): number {
    return this.#failed;
  }

  /** Tells the switches again: a link that came back may have another behind it, which has heard no report. */
  joinAgain(): void {
    for (const [family, socket] of this.#senders) {
      this.#membership(family, socket, 'leave');
      this.#membership(family, socket, 'join');
    }
  }

  /**
   * Sends the IP packets in these frames to where they are addressed; the Ethernet headers are left off, since the kernel
   * makes others. Goes out with the next turn of the event loop.
   * @returns how many were taken
   */
  send(frames: readonly Uint8Array[]): number {
    let taken = 0;
    for (const frame of frames) {
      const { family, offset, length } = ipPayloadOf(frame);
      const socket = this.#senders.get(family);
      if (socket === undefined) continue;
      const packet = Buffer.from(
        frame.buffer,
        frame.byteOffset + ethernetHeaderLength,
        offset + length - ethernetHeaderLength,
      );
      const destination = ipDestinationOf(frame);
      socket.send(packet, 0, packet.length, destination, (error) => {
        if (error === null) {
          this.#unreachable.delete(destination);
          return;
        }
        this.#failed += 1;
        if (this.#unreachable.has(destination)) return;
        this.#unreachable.add(destination);
        this.#options.onWarning(`adverts to ${destination} cannot be sent: ${error.message}`);
      });
      taken += 1;
    }
    return taken;
  }

  close(): void {
    for (const socket of [...this.#receivers.splice(0), ...this.#senders.values()]) socket.close();
    this.#senders.clear();
  }

  #open(family: AddressFamily): void {
    try {
      const receiver = this.#bound(vrrpProtocol, family);
      this.#receivers.push(receiver);
      if (family === 4) set(receiver, SOL_IP, IP_MULTICAST_ALL, int32(0));
      else set(receiver, SOL_IPV6, IPV6_MULTICAST_ALL, int32(0));
      const sender = this.#bound(rawProtocol, family);
      sender.pauseRecv();
      this.#senders.set(family, sender);
      this.#membership(family, sender, 'join');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // A host without IPv6 answers nothing over it either.
      if (family === 6 && /address family not supported/i.test(why)) return;
      this.#options.onWarning(
        `${why}: the kernel may answer adverts with ICMP, and switches that snoop may not let them through`,
      );
    }
  }

  #bound(protocol: number, family: AddressFamily): RawSocket {
    const socket = openRawSocket(protocol, family);
    socket.on('error', (error) => this.#options.onWarning(`raw socket of IPv${family}: ${error.message}`));
    try {
      set(socket, SOL_SOCKET, SO_BINDTOIFINDEX, int32(this.#options.ifindex));
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  #membership(family: AddressFamily, socket: RawSocket, change: 'join' | 'leave'): void {
    const ifindex = int32(this.#options.ifindex);
    try {
      if (family === 4) {
        // struct ip_mreqn {group, address, ifindex}
        const request = Buffer.concat([addressBytes(vrrpGroupIpv4), Buffer.alloc(4), ifindex]);
        set(socket, SOL_IP, change === 'join' ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, request);
      } else {
        // struct ipv6_mreq {group, ifindex}
        const request = Buffer.concat([addressBytes(vrrpGroupIpv6), ifindex]);
        set(socket, SOL_IPV6, change === 'join' ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP, request);
      }
    } catch (error) {
      // Leaving what was not joined is how a join that failed before is tried again.
      if (change === 'leave') return;
      const why = error instanceof Error ? error.message : String(error);
      this.#options.onWarning(
        `joining the advert group of IPv${family}: ${why}; a switch that snoops may not know of it`,
      );
    }
  }
}

function set(socket: RawSocket, level: number, option: number, value: Buffer): void {
  socket.setOption(level, option, value, value.length);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}
