import type { VrStateName } from '../core/vr-state.js';
import {
  type AnnouncementOperation,
  BucketCounter,
  type KindCount,
  type ReasonCount,
  type TakeoverPhase,
  takeoverBoundsSeconds,
  takeoverPhases,
  type VrSnapshot,
} from '../observe/snapshot.js';

class Tally {
  readonly #counts = new Map<string, number>();

  add(key: string, count = 1): void {
    if (count > 0) this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  get(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  reasons(): ReasonCount[] {
    return [...this.#counts].map(([reason, count]) => ({ reason, count }));
  }

  kinds(): KindCount[] {
    return [...this.#counts].map(([kind, count]) => ({ kind, count }));
  }
}

/** What one virtual router counts, since the dataplane started. */
export class RouterCounters {
  advertsSent = 0;
  advertsReceived = 0;
  /** Times that another master was heard while this one served. */
  splitBrains = 0;
  /** Times that two answered a probe with the virtual MAC. */
  splitBrainsProbed = 0;
  /** Adverts of others with this virtual router's id. */
  duplicateIds = 0;
  /** Frames with the virtual MAC from a host that is not the master. */
  leaks = 0;
  /** Frames that this host would have sent with a wrong MAC, as the kernel counts them. */
  wrongMacSuppressed = 0;
  readonly wrongMac = new Tally();
  readonly announced = new Tally();
  readonly announceFailed = new Tally();
  readonly announceRefused = new Tally();
  readonly repairs = new Tally();
  readonly #transitions = new Map<string, { readonly to: VrStateName; readonly reason: string; count: number }>();
  readonly #takeover: Readonly<Record<TakeoverPhase, BucketCounter>> = {
    detect: new BucketCounter(takeoverBoundsSeconds),
    arbitrate: new BucketCounter(takeoverBoundsSeconds),
    attach: new BucketCounter(takeoverBoundsSeconds),
    announce: new BucketCounter(takeoverBoundsSeconds),
  };

  transition(to: VrStateName, reason: string): void {
    const key = `${to} ${reason}`;
    const entry = this.#transitions.get(key) ?? { to, reason, count: 0 };
    entry.count += 1;
    this.#transitions.set(key, entry);
  }

  takeover(phases: Readonly<Record<TakeoverPhase, number>>): void {
    for (const phase of takeoverPhases) this.#takeover[phase].observe(phases[phase] / 1000);
  }

  /** The counted part of a snapshot; the rest is the virtual router's present state. */
  read(): Omit<
    VrSnapshot,
    'name' | 'state' | 'priority' | 'term' | 'virtualMacAttached' | 'splitBrain' | 'vips' | 'peers'
  > {
    const operations: readonly AnnouncementOperation[] = ['arp_request', 'arp_reply', 'na'];
    const announced = Object.fromEntries(operations.map((operation) => [operation, this.announced.get(operation)]));
    return {
      transitions: [...this.#transitions.values()].map((entry) => ({ ...entry })),
      takeover: {
        detect: this.#takeover.detect.read(),
        arbitrate: this.#takeover.arbitrate.read(),
        attach: this.#takeover.attach.read(),
        announce: this.#takeover.announce.read(),
      },
      advertsSent: this.advertsSent,
      advertsReceived: this.advertsReceived,
      announcementsSent: announced as Record<AnnouncementOperation, number>,
      announcementsFailed: this.announceFailed.reasons(),
      announcementsRefused: this.announceRefused.reasons(),
      splitBrainDetected: { advert: this.splitBrains, probe: this.splitBrainsProbed, log: 0 },
      wrongMacDetected: this.wrongMac.kinds(),
      wrongMacSuppressed: this.wrongMacSuppressed,
      duplicateIdDetected: this.duplicateIds,
      virtualMacLeaks: this.leaks,
      linkRepairs: this.repairs.kinds(),
    };
  }
}
