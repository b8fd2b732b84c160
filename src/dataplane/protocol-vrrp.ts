import type { VrrpRouterConfig } from '../config/config.js';
import { readSecretFile } from '../config/secret-file.js';
import type { Candidacy } from '../core/election-rules.js';
import type { ChecksumTally } from '../observe/snapshot.js';
import { type AddressFamily, addressBytes, isLinkLocalIpv6 } from '../wire/address.js';
import { type MacAddress, vrrpVirtualMac } from '../wire/mac.js';
import type { ChecksumForm, Vrrp2Auth, VrrpAdvert } from '../wire/vrrp.js';
import { buildVrrp2Frame, buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame } from '../wire/vrrp-frame.js';
import { type Destination, type Envelope, envelopeOf, sameAddresses } from './advert-policy.js';
import type {
  AdapterClocks,
  AdvertPacket,
  AdvertSources,
  HeardAgain,
  Judgement,
  ProtocolAdapter,
  Twin,
} from './protocol-adapter.js';
import { ChecksumKnowledge, type Said } from './protocol-checksum.js';
import { AdvertSignature } from './protocol-signature.js';

const ownerPriority = 255;
/** Of simple text, keepalived and the RFC know the first eight octets. */
const passwordLengthMax = 8;

/** VRRP versions 2 and 3 on the wire. */
export class VrrpAdapter implements ProtocolAdapter {
  readonly families: readonly AddressFamily[];
  readonly #config: VrrpRouterConfig;
  readonly #clocks: AdapterClocks;
  readonly #envelope: Envelope;
  readonly #auth: Vrrp2Auth;
  readonly #signature: AdvertSignature | undefined;
  readonly #addresses: Readonly<Record<AddressFamily, readonly string[]>>;
  readonly #knowledge = new ChecksumKnowledge();
  /** Unsigned frames by what they say: an advert costs no building. */
  readonly #frames = new Map<string, Uint8Array>();

  private constructor(
    config: VrrpRouterConfig,
    clocks: AdapterClocks,
    auth: Vrrp2Auth,
    signature: AdvertSignature | undefined,
  ) {
    this.#config = config;
    this.#clocks = clocks;
    this.#envelope = envelopeOf(config.unicast);
    this.#auth = auth;
    this.#signature = signature;
    const of = (wanted: AddressFamily): string[] =>
      config.addresses
        .filter(({ family, advertised }) => family === wanted && advertised !== false)
        .map(({ address }) => address);
    this.#addresses = { 4: of(4), 6: linkLocalFirst(of(6)) };
    this.families = ([4, 6] as const).filter((family) => this.#addresses[family].length > 0);
  }

  /** @throws KoiError where a secret cannot be read */
  static open(config: VrrpRouterConfig, clocks: AdapterClocks): VrrpAdapter {
    const { authentication, authHmac, advertIntervalMs } = config;
    const signature =
      authHmac === undefined ? undefined : AdvertSignature.open(authHmac, advertIntervalMs, clocks.wallNow);
    if (authentication === undefined) return new VrrpAdapter(config, clocks, { type: 'none' }, signature);
    const password = readSecretFile(authentication.passwordFile, 'vrrp2.auth.passwordFile');
    const auth: Vrrp2Auth = { type: 'text', password: latin1(password).slice(0, passwordLengthMax) };
    return new VrrpAdapter(config, clocks, auth, signature);
  }

  get checksums(): readonly ChecksumTally[] {
    return this.#knowledge.tallies();
  }

  get sendsTheSame(): boolean {
    return this.#signature?.signs !== true;
  }

  get hearsTheSame(): boolean {
    return this.#signature === undefined;
  }

  twinOf(packet: AdvertPacket): Twin | undefined {
    const said = saidInForm(packet);
    if (said === undefined) return undefined;
    return {
      withinMs: ChecksumKnowledge.twinMs(said.intervalMs),
      singleAtMs: this.#knowledge.singleAtMs(packet.source, said),
    };
  }

  heardMeanwhile(heard: readonly HeardAgain[], single: HeardAgain | undefined): void {
    const forms = heard.flatMap(({ packet, ...times }) => {
      const said = saidInForm(packet);
      return said === undefined || times.count === 0 ? [] : [{ ...times, ...said, source: packet.source }];
    });
    const [first] = forms;
    if (first === undefined) return;
    const form = single && saidInForm(single.packet)?.form;
    const waits = single === undefined || form === undefined ? undefined : { form, atMs: single.lastAtMs };
    this.#knowledge.heardMeanwhile(first.source, first, forms, waits);
  }

  get farewellGoodMs(): number | undefined {
    return this.#signature?.signs === true ? this.#signature.aheadMs : undefined;
  }

  virtualMac(family: AddressFamily): MacAddress {
    return vrrpVirtualMac(family, this.#config.id);
  }

  adverts(candidacy: Candidacy, sources: AdvertSources): readonly Uint8Array[] {
    return this.#signed(this.#plain(candidacy, sources), (signature, frame) => signature.sign(frame));
  }

  prepare(farewell: Candidacy, sources: AdvertSources): readonly Uint8Array[] {
    return this.#signed(this.#plain(farewell, sources), (signature, frame) => signature.signForLater(frame));
  }

  judge(packet: AdvertPacket, frame: Uint8Array, sources: AdvertSources): Judgement {
    const fault = this.#envelope.fault(packet, sources[packet.family]);
    if (fault !== undefined) return { kind: 'refused', reason: fault };
    if (packet.kind === 'carp') return { kind: 'refused', reason: 'protocol_mismatch' };
    if (!packet.advert.ok) return { kind: 'refused', reason: packet.advert.reason };
    const advert = packet.advert.value;
    const refused = this.#fault(advert) ?? this.#signatureFault(advert, packet, frame);
    if (refused !== undefined) return refused;
    const { priority, intervalMs } = advert;
    if (advert.version === 3 && advert.family === 4) {
      const { source } = packet;
      const said = { form: advert.checksumForm, priority, intervalMs };
      if (!this.#knowledge.heard(source, said, this.#clocks.now())) return { kind: 'twin' };
    }
    return { kind: 'heard', candidacy: { kind: 'vrrp', priority, intervalMs } };
  }

  /** RFC 9568 §7.1, RFC 3768 §7.1. */
  #fault(advert: VrrpAdvert): Judgement | undefined {
    const { protocol, priority, advertIntervalMs } = this.#config;
    if (advert.version !== (protocol === 'vrrp2' ? 2 : 3)) {
      return { kind: 'refused', reason: 'version_mismatch', detail: `it sends version ${advert.version}` };
    }
    if (advert.version === 2) {
      const isSame = advert.auth.type === this.#auth.type && passwordOf(advert.auth) === passwordOf(this.#auth);
      if (!isSame) return { kind: 'refused', reason: 'auth_mismatch', detail: authWords(advert.auth, this.#auth) };
      if (advert.intervalMs !== advertIntervalMs) {
        const detail = `its interval is ${advert.intervalMs / 1000} s, here it is ${advertIntervalMs / 1000} s`;
        return { kind: 'refused', reason: 'interval_mismatch', detail };
      }
    }
    if (advert.priority === ownerPriority && priority === ownerPriority) {
      return { kind: 'refused', reason: 'owner_conflict' };
    }
    // What the owner of the addresses says of them counts (RFC 3768 §7.1).
    const own = this.#addresses[advert.family];
    if (advert.priority === ownerPriority || sameAddresses(advert.addresses, own)) return undefined;
    return { kind: 'refused', reason: 'address_mismatch', detail: addressWords(advert.addresses, own) };
  }

  #signatureFault(advert: VrrpAdvert, packet: AdvertPacket, frame: Uint8Array): Judgement | undefined {
    if (this.#signature === undefined) return undefined;
    const message = frame.subarray(packet.payloadOffset, packet.payloadOffset + packet.payloadLength);
    const reason = this.#signature.fault(message, advert.authHmac, packet.source);
    if (reason === undefined) return undefined;
    const detail = reason === 'unknown_key' ? `its key id is ${advert.authHmac?.keyId}` : undefined;
    return detail === undefined ? { kind: 'refused', reason } : { kind: 'refused', reason, detail };
  }

  #plain(candidacy: Candidacy, sources: AdvertSources): Uint8Array[] {
    if (candidacy.kind !== 'vrrp') return [];
    return this.families.flatMap((family) => {
      const source = sources[family];
      if (source === undefined) return [];
      const destinations = this.#envelope.destinations(family);
      return this.#forms(family).flatMap((form) =>
        destinations.map((destination) => this.#frame(candidacy, family, source, form, destination)),
      );
    });
  }

  #forms(family: AddressFamily): readonly ChecksumForm[] {
    const { protocol, checksum } = this.#config;
    if (family === 6) return ['pseudo-header'];
    if (protocol === 'vrrp2') return ['rfc9568'];
    if (checksum !== 'auto') return [checksum];
    const forms = this.#knowledge.forms();
    // Only keepalived knows signatures, and it sums with a pseudo-header unless it is told otherwise.
    return this.#signature !== undefined && forms.length > 1 ? ['pseudo-header'] : forms;
  }

  #frame(
    { priority, intervalMs }: Extract<Candidacy, { kind: 'vrrp' }>,
    family: AddressFamily,
    source: string,
    checksumForm: ChecksumForm,
    destination: Destination,
  ): Uint8Array {
    const key = `${priority} ${intervalMs} ${source} ${checksumForm} ${destination.destination ?? ''}`;
    const known = this.#frames.get(key);
    if (known !== undefined) return known;
    // Priorities and sources change now and then, and each only between a few values; there are 32 peers at most.
    if (this.#frames.size > 256) this.#frames.clear();
    const fields = {
      virtualMac: this.virtualMac(family),
      source,
      vrid: this.#config.id,
      priority,
      intervalMs,
      addresses: this.#addresses[family],
      authHmac: this.#signature?.signs === true,
      ...destination,
    };
    const built = this.#build(fields, family, checksumForm);
    this.#frames.set(key, built);
    return built;
  }

  #build(fields: Parameters<typeof buildVrrp3Ipv6Frame>[0], family: AddressFamily, form: ChecksumForm): Uint8Array {
    if (this.#config.protocol === 'vrrp2') return buildVrrp2Frame({ ...fields, auth: this.#auth });
    return family === 6 ? buildVrrp3Ipv6Frame(fields) : buildVrrp3Ipv4Frame({ ...fields, checksumForm: form });
  }

  #signed(
    frames: readonly Uint8Array[],
    sign: (signature: AdvertSignature, frame: Uint8Array) => void,
  ): readonly Uint8Array[] {
    const signature = this.#signature;
    if (signature === undefined || !signature.signs) return frames;
    return frames.map((frame) => {
      const copy = frame.slice();
      sign(signature, copy);
      return copy;
    });
  }
}

/** What an advert says that may be summed in two ways; undefined of any other. */
function saidInForm({ advert }: AdvertPacket): Said | undefined {
  if (!advert.ok || !('version' in advert.value)) return undefined;
  const { value } = advert;
  if (value.version !== 3 || value.family !== 4) return undefined;
  return { form: value.checksumForm, priority: value.priority, intervalMs: value.intervalMs };
}

/** RFC 9568 §5.2.9 wants the link-local address first; the others stay in the order of the file. */
function linkLocalFirst(addresses: readonly string[]): string[] {
  const isLinkLocal = (address: string): boolean => isLinkLocalIpv6(addressBytes(address));
  return [...addresses.filter(isLinkLocal), ...addresses.filter((address) => !isLinkLocal(address))];
}

/** The password's octets as keepalived puts them on the wire, one character each. */
const latin1 = (password: string): string => Buffer.from(password, 'utf8').toString('latin1');

const passwordOf = (auth: Vrrp2Auth): string => (auth.type === 'text' ? auth.password : '');

function authWords(theirs: Vrrp2Auth, own: Vrrp2Auth): string {
  if (theirs.type === own.type) return 'the passwords differ';
  return theirs.type === 'text' ? 'it uses a password, and here is none' : 'it uses no password, and here is one';
}

function addressWords(theirs: readonly string[], own: readonly string[]): string {
  const added = theirs.filter((address) => !own.includes(address));
  const missing = own.filter((address) => !theirs.includes(address));
  const parts = [
    added.length === 0 ? '' : `it has ${added.join(', ')}`,
    missing.length === 0 ? '' : `it lacks ${missing.join(', ')}`,
  ];
  return parts.filter((part) => part !== '').join('; ') || 'it repeats an address';
}
