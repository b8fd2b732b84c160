import type { DecodeRefusal } from './codec.js';
import { decodeEvent, eventHash } from './codec.js';
import type { KoiEvent } from './event.js';
import type { StoredEvent } from './port.js';
import { type LogNames, parseSubject, subjectOf } from './subjects.js';

/** As the log has it. */
export interface RawRecord {
  readonly sequence: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly encoded: Uint8Array;
}

/** Reads what a log has stored. An event on a subject that is not its own is refused: nobody may speak for another. */
export function storedEvent(names: LogNames, record: RawRecord): StoredEvent {
  const decoded = decodeEvent(record.encoded);
  if (!decoded.ok) return new Stored(record, undefined, decoded.refusal);
  const field = misplacedField(names, record.subject, decoded.event);
  if (field === undefined) return new Stored(record, decoded.event, undefined);
  return new Stored(record, undefined, { reason: 'wrong_subject', field });
}

class Stored implements StoredEvent {
  readonly sequence: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly bytes: number;
  readonly event: KoiEvent | undefined;
  readonly refusal?: DecodeRefusal;
  readonly #encoded: Uint8Array;
  #hash: string | undefined;

  constructor(record: RawRecord, event: KoiEvent | undefined, refusal: DecodeRefusal | undefined) {
    this.sequence = record.sequence;
    this.subject = record.subject;
    this.storedAtMs = record.storedAtMs;
    this.bytes = record.encoded.length;
    this.event = event;
    if (refusal !== undefined) this.refusal = refusal;
    this.#encoded = record.encoded;
  }

  /** Made when it is asked for: of most events nobody asks, and hashing them is much of what reading a long log costs. */
  get hash(): string {
    this.#hash ??= eventHash(this.#encoded);
    return this.#hash;
  }
}

function misplacedField(names: LogNames, subject: string, event: KoiEvent): string | undefined {
  if (event.cluster !== names.cluster) return 'cluster';
  if (event.payload.type !== 'unknown') return subjectOf(names, event) === subject ? undefined : 'payload';
  const place = parseSubject(names, subject);
  if (place?.kind === 'own' || place?.kind === 'conf')
    return 'vr' in event && event.vr === place.name ? undefined : 'vr';
  if (place?.kind === 'node') return event.node === place.name ? undefined : 'node';
  return undefined;
}
