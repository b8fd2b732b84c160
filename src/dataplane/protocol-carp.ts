import { createHmac, randomBytes } from 'node:crypto';
import type { CarpRouterConfig } from '../config/config.js';
import { readSecretFile } from '../config/secret-file.js';
import type { Candidacy } from '../core/election-rules.js';
import { type AddressFamily, familyOf } from '../wire/address.js';
import { type CarpAdvert, type CarpDigestForm, carpKey, type HmacSha1, verifyCarp } from '../wire/carp.js';
import { buildCarpFrame } from '../wire/carp-frame.js';
import { carpVirtualMac, type MacAddress } from '../wire/mac.js';
import { type Envelope, envelopeOf } from './advert-policy.js';
import type { AdapterClocks, AdvertPacket, AdvertSources, Judgement, ProtocolAdapter } from './protocol-adapter.js';

const hmacSha1: HmacSha1 = (key, data) => createHmac('sha1', key).update(data).digest();
/** How many other lists of addresses are tried on a digest that does not hold. */
const otherListsMax = 32;
/** And how often: whoever floods the link with forged adverts must not buy many digests with each. */
const explainEveryMs = 1000;

/** CARP on the wire, as both BSDs and ucarp speak it. */
export class CarpAdapter implements ProtocolAdapter {
  readonly families: readonly AddressFamily[];
  readonly farewellGoodMs = undefined;
  readonly checksums = [];
  readonly #config: CarpRouterConfig;
  readonly #envelope: Envelope;
  readonly #key: Uint8Array;
  readonly #addresses: readonly string[];
  readonly #now: () => number;
  /** OpenBSD's cookie, the same in every advert; FreeBSD's counter, before its next step. */
  #counter = randomBytes(8).readBigUInt64BE();

  #explained: { readonly source: string; readonly atMs: number; readonly judgement: Judgement } | undefined;

  private constructor(config: CarpRouterConfig, key: Uint8Array, now: () => number) {
    this.#config = config;
    this.#now = now;
    this.#envelope = envelopeOf(config.unicast);
    this.#key = key;
    this.#addresses = config.addresses.map(({ address }) => address);
    this.families = ([4, 6] as const).filter((family) => config.addresses.some((vip) => vip.family === family));
  }

  /** @throws KoiError where the password cannot be read */
  static open(config: CarpRouterConfig, { now }: AdapterClocks): CarpAdapter {
    const { passwordFile } = config;
    // No password is one of zeros in every CARP, and still authenticates.
    const password = passwordFile === undefined ? '' : readSecretFile(passwordFile, 'carp.passwordFile');
    return new CarpAdapter(config, carpKey(password), now);
  }

  /** FreeBSD's and ucarp's counter makes every advert another one. */
  get sendsTheSame(): boolean {
    return this.#config.flavor === 'openbsd';
  }

  get hearsTheSame(): boolean {
    return this.#config.flavor === 'openbsd';
  }

  twinOf(): undefined {
    return undefined;
  }

  heardMeanwhile(): void {
    // Its adverts have one form, and leave nothing behind that would have to be counted.
  }

  virtualMac(): MacAddress {
    return carpVirtualMac(this.#config.id);
  }

  adverts(candidacy: Candidacy, sources: AdvertSources): readonly Uint8Array[] {
    if (candidacy.kind !== 'carp') return [];
    const { advbase, advskew, demote } = candidacy;
    return this.families.flatMap((family) => {
      const source = sources[family];
      if (source === undefined) return [];
      const counter = this.#nextCounter();
      const frame = { virtualMac: this.virtualMac(), source, advbase, advskew, demote, counter };
      const authentication = this.#authentication(this.#addresses);
      return this.#envelope
        .destinations(family)
        .map((to) => buildCarpFrame({ ...frame, ...to, authentication, digestForm: this.#digestForm }, hmacSha1));
    });
  }

  /** Nobody refuses an older counter. */
  prepare(farewell: Candidacy, sources: AdvertSources): readonly Uint8Array[] {
    return this.adverts(farewell, sources);
  }

  judge(packet: AdvertPacket, _frame: Uint8Array, sources: AdvertSources): Judgement {
    const fault = this.#envelope.fault(packet, sources[packet.family]);
    if (fault !== undefined) return { kind: 'refused', reason: fault };
    if (packet.kind === 'vrrp') return { kind: 'refused', reason: 'protocol_mismatch' };
    if (!packet.advert.ok) return { kind: 'refused', reason: packet.advert.reason };
    const advert = packet.advert.value;
    if (!this.#holds(advert, this.#addresses)) return this.#explain(advert, packet.source);
    if (this.#config.flavor === 'openbsd' && advert.counter === this.#counter) {
      return { kind: 'refused', reason: 'own_advert' };
    }
    if (this.#config.flavor === 'freebsd') this.#counter = advert.counter;
    const { advbase, advskew, demote } = advert;
    return { kind: 'heard', candidacy: { kind: 'carp', advbase, advskew, demote } };
  }

  /** Every address of the group is in every digest, so another list looks like a wrong password, until it is tried. */
  #explain(advert: CarpAdvert, source: string): Judgement {
    const before = this.#explained;
    const atMs = this.#now();
    if (before !== undefined && atMs - before.atMs < explainEveryMs) {
      return before.source === source ? before.judgement : { kind: 'refused', reason: 'bad_digest' };
    }
    const judgement = this.#tryOtherLists(advert);
    this.#explained = { source, atMs, judgement };
    return judgement;
  }

  #tryOtherLists(advert: CarpAdvert): Judgement {
    const found = otherLists(this.#addresses).find((list) => this.#holds(advert, list));
    if (found === undefined) return { kind: 'refused', reason: 'bad_digest' };
    const missing = this.#addresses.filter((address) => !found.includes(address));
    const detail = `the password is right, but the sender lacks ${missing.join(', ')}`;
    return { kind: 'refused', reason: 'address_mismatch', detail };
  }

  #holds(advert: CarpAdvert, addresses: readonly string[]): boolean {
    return verifyCarp(advert, this.#authentication(addresses), hmacSha1).ok;
  }

  #authentication(addresses: readonly string[]) {
    return { key: this.#key, vhid: this.#config.id, addresses };
  }

  /** OpenBSD leaves link-local addresses out of what it sends, and takes both; FreeBSD and ucarp know only all. */
  get #digestForm(): CarpDigestForm {
    return this.#config.flavor === 'openbsd' ? 'no-link-local' : 'all';
  }

  #nextCounter(): bigint {
    if (this.#config.flavor === 'freebsd') this.#counter = BigInt.asUintN(64, this.#counter + 1n);
    return this.#counter;
  }
}

/**
 * Lists that a router of the same group may have instead of ours: one address less, as in the middle of a change; one
 * address alone, as ucarp; one family alone; none.
 */
function otherLists(own: readonly string[]): readonly (readonly string[])[] {
  const oneLess = own.map((address) => own.filter((other) => other !== address));
  const alone = own.map((address) => [address]);
  const families = [4, 6].map((family) => own.filter((address) => familyOf(address) === family));
  const lists = [...families, ...oneLess, ...alone, []].filter((list) => list.length < own.length);
  const unique = new Map(lists.map((list) => [list.join(), list]));
  return [...unique.values()].slice(0, otherListsMax);
}
