import type { AdvertRefusal } from '../../wire/reasons.js';

/** An advert is refused for one of these where its sender is configured otherwise than this node. */
export const configuredOtherwise: ReadonlySet<AdvertRefusal> = new Set([
  'version_mismatch',
  'protocol_mismatch',
  'interval_mismatch',
  'address_mismatch',
  'auth_mismatch',
  'bad_digest',
  'unknown_key',
  'missing_trailer',
]);

/**
 * Somebody else uses our id. An advert that was refused for what it says is one of another virtual router with the same
 * id, unless it comes from a node of this cluster, whose configuration is being changed.
 */
export const isForeignAdvert = (reason: AdvertRefusal, isKnownNode: boolean): boolean =>
  !isKnownNode && (configuredOtherwise.has(reason) || reason === 'owner_conflict');

/**
 * Another master is heard, and stays. Where all who may serve are nodes of the cluster (`log`, `strict`), and the log says
 * who they are, a stranger's advert is another cluster with the same id, not two masters of this one.
 */
export const isStranger = (about: {
  readonly arbitration: 'wire' | 'log' | 'strict';
  readonly isKnownNode: boolean;
  readonly logReachable: boolean;
}): boolean => about.arbitration !== 'wire' && !about.isKnownNode && about.logReachable;

/** So late may the log tell this node of one that has just joined the cluster, and already serves. */
export const strangerAfterMs = 1_000;

const strangersMax = 16;

/** Since when adverts of masters come from addresses that are no node's. */
export class Strangers {
  readonly #sinceMs = new Map<string, number>();

  /** An advert of a master. @returns whether its sender has been a stranger for long enough, or is one of too many */
  heard(source: string, stranger: boolean, nowMs: number): boolean {
    if (!stranger) {
      this.#sinceMs.delete(source);
      return false;
    }
    const sinceMs = this.#sinceMs.get(source);
    if (sinceMs !== undefined) return nowMs - sinceMs >= strangerAfterMs;
    if (this.#sinceMs.size >= strangersMax) return true;
    this.#sinceMs.set(source, nowMs);
    return false;
  }
}
