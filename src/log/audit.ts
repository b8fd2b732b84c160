import { OwnershipAudit } from './audit-ownership.js';
import { type AuditBounds, defaultBounds, ServiceAudit } from './audit-service.js';
import { type AuditWord, auditMeanings, type Finding, type Report } from './audit-words.js';
import { isObservation, isOwnership } from './event.js';
import type { StoredEvent } from './port.js';
import { type LogNames, parseSubject } from './subjects.js';

/** Ids remembered for knowing a repeated event again. */
const idsMax = 16_384;

export interface AuditOptions {
  readonly bounds?: Partial<AuditBounds>;
  /** The log is read from the middle on purpose. */
  readonly partial?: boolean;
  readonly onFinding: (finding: Finding) => void;
}

/**
 * Re-checks the promises on a recorded log, event by event, in the order in which they are stored. Pure but for its own
 * memory, which is bounded by the virtual routers, the nodes and a window of the newest events, not by the log's length.
 */
export class LogAudit {
  readonly #names: LogNames;
  readonly #onFinding: (finding: Finding) => void;
  readonly #ownership: OwnershipAudit;
  readonly #service: ServiceAudit;
  readonly #ids = new Map<string, number>();
  /** The same ids in their order, in a ring: the oldest of a Map is dear to find. */
  readonly #order: string[] = [];
  #partial: boolean;
  #sequence = 0;
  #events = 0;
  #storedAtMs = 0;

  constructor(names: LogNames, options: AuditOptions) {
    this.#names = names;
    this.#onFinding = options.onFinding;
    this.#partial = options.partial ?? false;
    this.#ownership = new OwnershipAudit(() => this.#partial);
    this.#service = new ServiceAudit(
      { ...defaultBounds, ...options.bounds },
      (vr, term, node) => this.#ownership.owned(vr, term, node),
      () => this.#partial,
    );
  }

  /** How many events have been read. */
  get events(): number {
    return this.#events;
  }

  read(stored: StoredEvent): void {
    const report: Report = (what, detail) => this.#onFinding(toFinding(what, detail, stored));
    this.#follow(stored.sequence, report);
    this.#events += 1;
    this.#storedAtMs = stored.storedAtMs;
    const { event } = stored;
    if (event === undefined) {
      this.#refused(stored, report);
      return;
    }
    this.#know(event.id, stored.sequence, report);
    if (isOwnership(event)) this.#ownership.read(event, stored.hash, report);
    else if (isObservation(event)) this.#service.read(event, report);
    else if (event.payload.type === 'unknown') {
      const place = parseSubject(this.#names, stored.subject);
      if (place?.kind === 'own') this.#ownership.skip(place.name, stored.hash);
      report('unknown_event', `${event.id} of ${event.node}`);
    }
  }

  /** Everything has been read. */
  finish(): void {
    this.#service.finish((vr) => (what, detail) => {
      const { level, means } = auditMeanings[what];
      const at = new Date(this.#storedAtMs).toISOString();
      this.#onFinding({ what, level, sequence: this.#sequence, at, node: null, vr, detail, means });
    });
  }

  #follow(sequence: number, report: Report): void {
    const expected = this.#sequence + 1;
    if (this.#events === 0) {
      if (sequence > 1 && !this.#partial) {
        this.#partial = true;
        report('front_missing', `it begins with sequence ${sequence}`);
      }
    } else if (sequence < expected) {
      report('sequence_reversed', `sequence ${sequence} stands after ${this.#sequence}`);
    } else if (sequence > expected) {
      const missing = sequence - expected;
      report('sequence_gap', `${missing} event${missing === 1 ? '' : 's'} missing from sequence ${expected} on`);
    }
    this.#sequence = sequence;
  }

  #know(id: string, sequence: number, report: Report): void {
    const before = this.#ids.get(id);
    if (before !== undefined) report('event_repeated', `${id} stands at sequence ${before} too`);
    const slot = this.#events % idsMax;
    const oldest = this.#order[slot];
    if (oldest !== undefined && (this.#ids.get(oldest) ?? 0) <= sequence - idsMax) this.#ids.delete(oldest);
    this.#order[slot] = id;
    this.#ids.set(id, sequence);
  }

  #refused({ subject, hash, refusal }: StoredEvent, report: Report): void {
    const place = parseSubject(this.#names, subject);
    if (place?.kind === 'own') this.#ownership.skip(place.name, hash);
    const field = refusal !== undefined && 'field' in refusal ? ` (${refusal.field})` : '';
    if (refusal?.reason === 'wrong_subject') report('wrong_subject', `on ${subject}${field}`);
    else report('unreadable', `${refusal?.reason ?? 'malformed'}${field} on ${subject}`);
  }
}

function toFinding(what: AuditWord, detail: string, { sequence, storedAtMs, event }: StoredEvent): Finding {
  const { level, means } = auditMeanings[what];
  const vr = event !== undefined && 'vr' in event ? (event.vr ?? null) : null;
  const at = new Date(event?.wallTimeMs ?? storedAtMs).toISOString();
  return { what, level, sequence, at, node: event?.node ?? null, vr, detail, means };
}
