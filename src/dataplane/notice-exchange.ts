import type { VirtualRouterConfig } from '../config/config.js';
import { type NodeId, nodeId, term } from '../core/identity.js';
import type { Effect, HeardNotice } from '../core/vr-state.js';
import type { AddressFamily } from '../wire/address.js';
import type { NoticeFrame } from '../wire/demux.js';
import { buildLanDatagramFrame, decodeLanDatagram, type LanDatagram } from '../wire/lan-datagram.js';
import { equalInConstantTime } from '../wire/octets.js';
import type { AdvertRefusal, NoticeRefusal } from '../wire/reasons.js';
import { vrrpGroupIpv4, vrrpGroupIpv6 } from '../wire/vrrp-frame.js';
import { envelopeOf } from './advert-policy.js';
import { hmacSha256 } from './hmac.js';
import type { LanKey } from './lan-key.js';
import type { ParentPort } from './parent-port.js';
import type { AdvertSources } from './protocol-adapter.js';

/** Nodes of one cluster whose counters are remembered. */
const nodesMax = 64;

/** How this virtual router's adverts go: its notices go the same way. */
export interface NoticeRoute {
  readonly config: Pick<VirtualRouterConfig, 'id' | 'protocol' | 'unicast'>;
  readonly families: readonly AddressFamily[];
  readonly sources: AdvertSources;
}

export interface NoticeExchangeOptions {
  readonly vr: string;
  readonly node: NodeId;
  readonly key: LanKey | undefined;
  readonly parent: Pick<ParentPort, 'state' | 'send' | 'sendRouted' | 'refuse'>;
  readonly route: NoticeRoute;
  readonly onHeard: (notice: HeardNotice) => void;
}

type Judgement =
  | { readonly kind: 'heard'; readonly datagram: LanDatagram }
  | { readonly kind: 'refused'; readonly reason: NoticeRefusal | AdvertRefusal; readonly detail?: string };

/**
 * One virtual router's notices. They come from the parent's own MAC, and never from the virtual one, which they need not
 * move: a switch learns nothing from them.
 */
export class NoticeExchange {
  readonly #options: NoticeExchangeOptions;
  readonly #scope: Uint8Array | undefined;
  /** The last counter taken from each node. */
  readonly #counters = new Map<string, bigint>();

  constructor(options: NoticeExchangeOptions) {
    this.#options = options;
    this.#scope = options.key?.scopeOf(options.vr);
  }

  /** Tells the other masters; returns how many frames went out. */
  send(notice: Pick<Extract<Effect, { type: 'notice' }>, 'termHeld' | 'logged' | 'highestLoggedTerm'>): number {
    const { node, key, parent, route } = this.#options;
    const etherSource = parent.state.mac;
    if (key === undefined || this.#scope === undefined || etherSource === undefined) return 0;
    const { config, families, sources } = route;
    const { termHeld, logged, highestLoggedTerm } = notice;
    const { id, protocol } = config;
    const fields = { scope: this.#scope, protocol, id, node, termHeld, logged, highestLoggedTerm };
    const frames = families.flatMap((family) => {
      const source = sources[family];
      if (source === undefined) return [];
      return envelopeOf(config.unicast)
        .destinations(family)
        .map(({ destination = family === 4 ? vrrpGroupIpv4 : vrrpGroupIpv6, destinationMac: etherDestination }) => {
          const envelope = { etherSource, etherDestination, source, destination };
          return buildLanDatagramFrame(envelope, { ...fields, counter: key.nextCounter() }, key.bytes, hmacSha256);
        });
    });
    return config.unicast === undefined ? parent.send(frames) : parent.sendRouted(frames);
  }

  /** A notice with this virtual router's id has come in. @param octets the whole frame */
  heard(frame: NoticeFrame, octets: Uint8Array): void {
    const { vr, parent, onHeard } = this.#options;
    const judgement = this.#judge(frame, octets);
    if (judgement.kind === 'refused') {
      const { reason, detail } = judgement;
      parent.refuse(frame, reason, { vr, ...(detail === undefined ? {} : { detail }) });
      return;
    }
    const { node, termHeld, logged, highestLoggedTerm } = judgement.datagram;
    const { source } = frame;
    onHeard({
      node: nodeId(node),
      source,
      termHeld: term(termHeld),
      logged,
      highestLoggedTerm: term(highestLoggedTerm),
    });
  }

  #judge(frame: NoticeFrame, octets: Uint8Array): Judgement {
    const { node: own, key, route } = this.#options;
    const { config, sources } = route;
    const misplaced = envelopeOf(config.unicast).fault(frame, sources[frame.family]);
    if (misplaced !== undefined) return { kind: 'refused', reason: misplaced };
    if (key === undefined || this.#scope === undefined) return { kind: 'refused', reason: 'notice_no_key' };
    const decoded = decodeLanDatagram(octets, frame.payloadOffset, frame.payloadLength, key.bytes, hmacSha256);
    if (!decoded.ok) return { kind: 'refused', reason: decoded.reason };
    const datagram = decoded.value;
    const { scope, protocol, node, counter } = datagram;
    const detail = `it says that it is from ${node}`;
    if (!equalInConstantTime(scope, this.#scope)) return { kind: 'refused', reason: 'notice_other_scope', detail };
    if (protocol !== config.protocol) return { kind: 'refused', reason: 'protocol_mismatch', detail };
    if (node === own) {
      return { kind: 'refused', reason: frame.source === sources[frame.family] ? 'own_advert' : 'notice_same_node' };
    }
    const last = this.#counters.get(node);
    if (last !== undefined && counter <= last) return { kind: 'refused', reason: 'notice_replayed', detail };
    if (last === undefined && this.#counters.size >= nodesMax) this.#counters.clear();
    this.#counters.set(node, counter);
    return { kind: 'heard', datagram };
  }
}
