import { bootId, nodeId, term } from '../../src/core/identity.js';
import { encodeEvent, eventHash } from '../../src/log/codec.js';
import type { KoiEvent, ObservationPayload, OwnershipPayload } from '../../src/log/event.js';
import { logNames, subjectOf } from '../../src/log/subjects.js';

const names = logNames('edge');
const nodes = ['r1', 'r2'] as const;
const steps = ['parent', 'guards', 'link', 'link_up', 'registered', 'addresses', 'announce'];

/** A stored event as the log has it, before anybody reads it. */
export interface RawRecord {
  readonly sequence: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly encoded: Uint8Array;
}

interface VirtualRouterPast {
  readonly name: string;
  term: number;
  hash: string | undefined;
}

/** What two nodes wrote down of many takeovers, in the events that koi writes for them: a log in which all is well. */
export class History {
  readonly #routers: readonly VirtualRouterPast[];
  #sequence = 0;
  #nowMs = 1_790_000_000_000;
  #turn = 0;

  constructor(virtualRouters: number) {
    this.#routers = Array.from({ length: virtualRouters }, (_, at) => ({ name: `vr${at}`, term: 0, hash: undefined }));
  }

  /** At first both nodes begin; then the one that serves loses its carrier and the other takes over, in turns. */
  next(): RawRecord[] {
    return this.#sequence === 0 ? this.#begin() : this.#takeover();
  }

  #begin(): RawRecord[] {
    return nodes.flatMap((node) => [
      this.#record({ ...this.#envelope(node), payload: { type: 'nodeStarted', version: '0.1.0', virtualRouters: [] } }),
      ...this.#routers.map((router) => this.#sees(router, node, undefined, moves('init', 'backup', 'started'))),
    ]);
  }

  #takeover(): RawRecord[] {
    const router = this.#routers[this.#turn % this.#routers.length];
    if (router === undefined) return [];
    this.#turn += 1;
    router.term += 1;
    const [taker, giver] = router.term % 2 === 0 ? nodes : ([nodes[1], nodes[0]] as const);
    const before = router.term - 1;
    const given =
      before === 0
        ? []
        : [
            this.#sees(router, giver, before, moves('master', 'draining', 'carrier_lost')),
            this.#owns(router, giver, before, {
              type: 'released',
              reason: 'carrier_lost',
              addressesReadBackGone: true,
            }),
            this.#sees(router, giver, before, moves('draining', 'backup', 'carrier_lost')),
          ];
    const place = { priority: 200, lanAddress: '10.77.0.1', virtualMac: '00:00:5e:00:01:33' };
    return [
      ...given,
      this.#owns(router, taker, router.term, { type: 'claimed', reason: 'master_silent', ...place }),
      this.#sees(router, taker, router.term, moves('backup', 'candidate', 'master_silent')),
      this.#sees(router, taker, router.term, moves('candidate', 'master', 'attached')),
      this.#sees(router, taker, router.term, {
        type: 'masterActive',
        steps: steps.map((name) => ({ name, durationUs: 100 })),
        ...{ detectUs: 30_000, arbitrateUs: 1_500, attachUs: 5_000, announceUs: 2_000 },
      }),
    ];
  }

  #sees(router: VirtualRouterPast, node: string, owned: number | undefined, payload: ObservationPayload): RawRecord {
    const about = owned === undefined ? {} : { term: term(owned) };
    return this.#record({ ...this.#envelope(node), vr: router.name, ...about, payload });
  }

  #owns(router: VirtualRouterPast, node: string, owned: number, payload: OwnershipPayload): RawRecord {
    const chained = router.hash === undefined ? {} : { previousHash: router.hash };
    const record = this.#record({ ...this.#envelope(node), vr: router.name, term: term(owned), ...chained, payload });
    router.hash = eventHash(record.encoded);
    return record;
  }

  #envelope(node: string) {
    this.#sequence += 1;
    this.#nowMs += 3;
    return {
      id: `${node}-0-${this.#sequence}`,
      cluster: 'edge',
      node: nodeId(node),
      boot: bootId(`${node}-0`),
      wallTimeMs: this.#nowMs,
      monotonicMs: this.#nowMs - 1_780_000_000_000,
    };
  }

  #record(event: KoiEvent): RawRecord {
    const encoded = encodeEvent(event);
    return { sequence: this.#sequence, subject: subjectOf(names, event), storedAtMs: this.#nowMs, encoded };
  }
}

const moves = (from: string, to: string, reason: string): ObservationPayload => ({
  type: 'transition',
  from,
  to,
  reason,
});
