import { bootId, nodeId, term } from '../../src/core/identity.js';
import { encodeEvent, eventHash } from '../../src/log/codec.js';
import type { KoiEvent, ObservationPayload, OwnershipPayload } from '../../src/log/event.js';
import type { StoredEvent } from '../../src/log/port.js';
import { storedEvent } from '../../src/log/stored.js';
import { logNames, subjectOf } from '../../src/log/subjects.js';

const names = logNames('edge');

/** A stored event as the log has it, before anybody reads it. */
export interface RawRecord {
  readonly sequence: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly encoded: Uint8Array;
}

export const readRaw = (record: RawRecord): StoredEvent => storedEvent(names, record);

/**
 * Writes down what two nodes do, in the events that koi writes for it, with clocks that go on by themselves: what a log
 * looks like in which all is well. `pass` lets time go by.
 */
export class Story {
  readonly events: KoiEvent[] = [];
  nowMs = 1_790_000_000_000;
  #made = 0;
  #hash: string | undefined;
  readonly #boots = new Map<string, number>();

  boot(node: string): string {
    return `${node}-${this.#boots.get(node) ?? 0}`;
  }

  pass(ms: number): void {
    this.nowMs += ms;
  }

  starts(node: string, more: { readonly arbitration?: string; readonly version?: string } = {}): void {
    this.#boots.set(node, (this.#boots.get(node) ?? 0) + 1);
    const router = {
      name: 'gw',
      protocol: 'vrrp3',
      id: 51,
      priority: node === 'r1' ? 200 : 100,
      interface: 'eth1',
      addresses: ['10.77.0.254/24'],
      lanAddress: '10.77.0.1',
    };
    const arbitration = more.arbitration === undefined ? {} : { arbitration: more.arbitration };
    const virtualRouters = [{ ...router, ...arbitration }];
    this.sees(node, { type: 'nodeStarted', version: more.version ?? '0.1.0', virtualRouters });
    this.moves(node, 'init', 'backup', 'started');
  }

  owns(node: string, owned: number, payload: OwnershipPayload): void {
    this.#add({
      ...this.#envelope(node),
      vr: 'gw',
      term: term(owned),
      ...(this.#hash === undefined ? {} : { previousHash: this.#hash }),
      payload,
    });
  }

  sees(node: string, payload: ObservationPayload, owned?: number): void {
    const about = owned === undefined ? {} : { term: term(owned) };
    const isOfRouter = owned !== undefined || payload.type === 'transition';
    this.#add({ ...this.#envelope(node), ...(isOfRouter ? { vr: 'gw' } : {}), ...about, payload });
  }

  moves(node: string, from: string, to: string, reason: string, owned?: number): void {
    this.sees(node, { type: 'transition', from, to, reason }, owned);
  }

  claims(node: string, owned: number, reason = 'master_silent', holderVerdict?: string): void {
    const place = { priority: 200, lanAddress: '10.77.0.1', virtualMac: '00:00:5e:00:01:33' };
    const found = holderVerdict === undefined ? {} : { holderVerdict };
    this.owns(node, owned, { type: 'claimed', reason, ...place, ...found });
  }

  attaches(node: string, owned: number): void {
    this.pass(5);
    this.moves(node, 'candidate', 'master', 'attached', owned);
    this.pass(2);
    const steps = ['parent', 'guards', 'link', 'link_up', 'registered', 'addresses', 'announce'];
    const [detectUs, arbitrateUs, attachUs, announceUs] = [300_000, 1500, 5000, 2000];
    this.sees(
      node,
      {
        type: 'masterActive',
        steps: steps.map((name) => ({ name, durationUs: 100 })),
        ...{ detectUs, arbitrateUs, attachUs, announceUs },
      },
      owned,
    );
  }

  takesOver(node: string, owned: number, reason = 'master_silent', verdict?: string): void {
    this.claims(node, owned, reason, verdict);
    this.moves(node, 'backup', 'candidate', reason, owned);
    this.attaches(node, owned);
  }

  letsGo(node: string, owned: number, reason: string, to: 'backup' | 'fault' | 'init' = 'backup'): void {
    this.moves(node, 'master', 'draining', reason, owned);
    this.pass(1);
    this.owns(node, owned, { type: 'released', reason, addressesReadBackGone: true });
    this.moves(node, 'draining', to, reason, owned);
  }

  handsOver(from: string, to: string, owned: number): void {
    this.moves(from, 'master', 'draining', 'handover', owned - 1);
    this.owns(from, owned, { type: 'handoverStarted', to: nodeId(to), reason: 'handover' });
    this.moves(to, 'backup', 'candidate', 'handover', owned);
    this.attaches(to, owned);
    this.pass(20);
    this.moves(from, 'draining', 'backup', 'handed_over', owned - 1);
    this.owns(from, owned - 1, { type: 'released', reason: 'handed_over', addressesReadBackGone: true });
  }

  records(): RawRecord[] {
    return this.events.map((event, index) => ({
      sequence: index + 1,
      subject: subjectOf(names, event),
      storedAtMs: event.wallTimeMs,
      encoded: encodeEvent(event),
    }));
  }

  #envelope(node: string) {
    this.#made += 1;
    this.nowMs += 0.25;
    return {
      id: `event-${this.#made}`,
      cluster: 'edge',
      node: nodeId(node),
      boot: bootId(this.boot(node)),
      wallTimeMs: this.nowMs,
      monotonicMs: this.nowMs - 1_789_000_000_000,
    };
  }

  #add(event: KoiEvent): void {
    this.events.push(event);
    if (event.payload.type in ownershipTypes) this.#hash = eventHash(encodeEvent(event));
  }
}

const ownershipTypes = { claimed: 1, released: 1, handoverStarted: 1, handoverReady: 1, handoverFailed: 1 };

/** Two nodes: a start, handovers forth and back, a failure, a restart, and the way back. */
export function quietStory(): Story {
  const story = new Story();
  story.starts('r1');
  story.pass(1000);
  story.takesOver('r1', 1);
  story.pass(5000);
  story.starts('r2');
  story.pass(60_000);
  story.handsOver('r1', 'r2', 2);
  story.pass(60_000);
  story.handsOver('r2', 'r1', 3);
  story.pass(60_000);
  story.letsGo('r1', 3, 'carrier_lost', 'fault');
  story.takesOver('r2', 4, 'master_released');
  story.pass(60_000);
  story.moves('r1', 'fault', 'backup', 'parent_ready');
  story.pass(60_000);
  // Killed without a word: nobody says when it ended.
  story.pass(10_000);
  story.takesOver('r1', 5, 'master_silent', 'no_answer');
  story.pass(10_000);
  story.starts('r2');
  story.pass(60_000);
  story.letsGo('r1', 5, 'shutdown', 'init');
  story.sees('r1', { type: 'nodeStopped', reason: 'shutdown' });
  story.takesOver('r2', 6, 'master_released');
  return story;
}
