import type { DecodeRefusal } from './codec.js';
import { decodeEvent, eventHash } from './codec.js';
import type { KoiEvent } from './event.js';
import type { StoredEvent } from './port.js';
import { type LogNames, parseSubject, subjectOf } from './subjects.js';

/** Reads what a log has stored. An event on a subject that is not its own is refused: nobody may speak for another. */
export function storedEvent(
  names: LogNames,
  record: {
    readonly sequence: number;
    readonly subject: string;
    readonly storedAtMs: number;
    readonly encoded: Uint8Array;
  },
): StoredEvent {
  const { sequence, subject, storedAtMs, encoded } = record;
  const stored = { sequence, subject, storedAtMs, hash: eventHash(encoded) };
  const decoded = decodeEvent(encoded);
  if (!decoded.ok) return { ...stored, event: undefined, refusal: decoded.refusal };
  const field = misplacedField(names, subject, decoded.event);
  if (field === undefined) return { ...stored, event: decoded.event };
  const refusal: DecodeRefusal = { reason: 'wrong_subject', field };
  return { ...stored, event: undefined, refusal };
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
