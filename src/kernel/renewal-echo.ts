import { type Address, ifa, isAddressNews, lifetimesAt } from './addresses.js';
import { forEachAttribute, headerBytes, type Message } from './netlink-message.js';

/** Of more on one interface the rest is read each time. */
const perInterfaceMax = 16;
/** Sequence and port id of the message's header: those of whoever asked for the change. */
const askedAt = { from: 8, to: headerBytes };

interface Known {
  readonly octets: Uint8Array;
  readonly address: Address;
  /** Where IFA_CACHEINFO is, the lifetimes. */
  readonly lifetimes: { readonly from: number; readonly to: number };
}

/**
 * The kernel tells of each renewal of an address, a thousand times a second of 500 addresses: the same message but for
 * the lifetimes, which alone are read then.
 */
export class RenewalEcho {
  readonly #byInterface = new Map<number, Known[]>();

  /** The address, where it says of it what was said last, lifetimes apart. */
  renewed(message: Message): Address | undefined {
    const all = isAddressNews(message) ? this.#byInterface.get(ifindexOf(message)) : undefined;
    const known = all?.find((each) => isSame(each, message));
    return known && { ...known.address, ...lifetimesAt(message.view, message.start + known.lifetimes.from) };
  }

  /** It was read as `address`, and what it says holds until {@link forget}. */
  remember(message: Message, address: Address): void {
    if (!isAddressNews(message)) return;
    const { bytes, view, start, end } = message;
    let lifetimes: Known['lifetimes'] | undefined;
    forEachAttribute(view, start + headerBytes + 8, end, (type, at, length) => {
      if (type === ifa.cacheInfo) lifetimes = { from: at - start, to: at - start + length };
    });
    if (lifetimes === undefined) return;
    const ifindex = ifindexOf(message);
    const others = this.#byInterface.get(ifindex) ?? [];
    if (others.length >= perInterfaceMax) return;
    this.#byInterface.set(ifindex, [...others, { octets: bytes.slice(start, end), address, lifetimes }]);
  }

  /** Something of the interface's addresses is another, or may be. */
  forget(ifindex: number): void {
    this.#byInterface.delete(ifindex);
  }

  clear(): void {
    this.#byInterface.clear();
  }
}

/** struct ifaddrmsg: {u8 family, u8 prefix length, u8 flags, u8 scope, u32 index}. */
const ifindexOf = ({ view, start }: Message): number => view.getUint32(start + headerBytes + 4, true);

function isSame({ octets, lifetimes }: Known, { bytes, start, end }: Message): boolean {
  if (end - start !== octets.length) return false;
  for (let at = 0; at < octets.length; at++) {
    if (at === askedAt.from) at = askedAt.to;
    if (at === lifetimes.from) at = lifetimes.to;
    if (at < octets.length && octets[at] !== bytes[start + at]) return false;
  }
  return true;
}
