import type { VirtualRouterConfig } from '../config/config.js';
import type { Candidacy } from '../core/election-rules.js';
import type { ChecksumTally } from '../observe/snapshot.js';
import type { AddressFamily } from '../wire/address.js';
import type { CarpPacket, VrrpPacket } from '../wire/demux.js';
import { carpVirtualMac, type MacAddress, vrrpVirtualMac } from '../wire/mac.js';
import type { AdvertRefusal } from '../wire/reasons.js';
import { CarpAdapter } from './protocol-carp.js';
import { VrrpAdapter } from './protocol-vrrp.js';

/** Where adverts are sent from: the parent's own addresses, never anything derived from the virtual MAC. */
export interface AdvertSources {
  readonly 4: string | undefined;
  /** Link-local. */
  readonly 6: string | undefined;
}

export type AdvertPacket = VrrpPacket | CarpPacket;

export type Judgement =
  | { readonly kind: 'heard'; readonly candidacy: Candidacy }
  /** The same advert once more, summed in the other form: already heard. */
  | { readonly kind: 'twin' }
  /** `detail` adds to the reason's own sentence what is known in this case. */
  | { readonly kind: 'refused'; readonly reason: AdvertRefusal; readonly detail?: string };

export interface Twin {
  /** Within this time the other form is no other advert. */
  readonly withinMs: number;
  /** When the advert was heard, where its twin has not come yet. */
  readonly singleAtMs: number | undefined;
}

export interface HeardAgain {
  readonly packet: AdvertPacket;
  readonly count: number;
  readonly lastAtMs: number;
}

/** One protocol on the wire, for one virtual router: what it sends, and what it makes of what it receives. */
export interface ProtocolAdapter {
  /** The families its adverts go out in, IPv4 first. */
  readonly families: readonly AddressFamily[];
  /** Frames prepared for the guard are only good for so long; undefined: for ever. */
  readonly farewellGoodMs: number | undefined;
  /** The virtual MAC of the addresses of a family. */
  virtualMac(family: AddressFamily): MacAddress;
  /** The frames of one advert: one in each family whose source is known, or two where peers differ in checksums. */
  adverts(candidacy: Candidacy, sources: AdvertSources): readonly Uint8Array[];
  /** The same for later: not sent now, and still good when `farewellGoodMs` have passed. */
  prepare(farewell: Candidacy, sources: AdvertSources): readonly Uint8Array[];
  /**
   * What to make of an advert with this virtual router's id and one of its families.
   * @param frame the whole frame that `packet` was read from
   */
  judge(packet: AdvertPacket, frame: Uint8Array, sources: AdvertSources): Judgement;
  /** Whether what it sends stays the same, octet for octet, until something else changes. */
  readonly sendsTheSame: boolean;
  /**
   * Whether an advert that was heard, and comes again octet for octet, would be heard again; otherwise each is judged.
   * A signed one that comes again is a replay.
   */
  readonly hearsTheSame: boolean;
  /** How the advert may come in another form, as {@link Judgement} `twin`; undefined where it has one form only. */
  twinOf(packet: AdvertPacket): Twin | undefined;
  /** Those adverts have come again, octet for octet, and were not judged. `single` may have its twin yet. */
  heardMeanwhile(heard: readonly HeardAgain[], single: HeardAgain | undefined): void;
  /** Which forms of checksum peers have used so far; bounded. */
  readonly checksums: readonly ChecksumTally[];
}

export interface AdapterClocks {
  readonly now: () => number;
  readonly wallNow: () => number;
}

/** The MAC that speaks for the addresses of a family. */
export const virtualMacOf = ({ protocol, id }: VirtualRouterConfig, family: AddressFamily): MacAddress =>
  protocol === 'carp' ? carpVirtualMac(id) : vrrpVirtualMac(family, id);

/** @throws KoiError where a secret cannot be read: `config`, `privilege` */
export function createAdapter(config: VirtualRouterConfig, clocks: AdapterClocks): ProtocolAdapter {
  return config.protocol === 'carp' ? CarpAdapter.open(config, clocks) : VrrpAdapter.open(config, clocks);
}
