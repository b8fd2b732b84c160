import type { Logger } from 'pino';
import type { Drift, SegmentGuards } from '../attach/guards.js';
import type { DataplaneSnapshot } from '../observe/snapshot.js';
import type { Detection } from './detection.js';

interface Guarded {
  /** Where its addresses are; undefined: our own network namespace. */
  readonly namespace: string | undefined;
  guardsFailed(drift: Pick<Drift, 'interface' | 'key'>): void;
}

export interface GuardAuditOptions {
  readonly detection: Pick<Detection, 'drifted'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly routers: () => Iterable<Guarded>;
}

/** Which of the sysctls that virtual IPs rely on others have changed: set back, or else whoever relies on them is told. */
export class GuardAudit {
  readonly #options: GuardAuditOptions;
  readonly #drifts = new Map<string, { interface: string; key: string; drifted: boolean }>();

  constructor(options: GuardAuditOptions) {
    this.#options = options;
  }

  /** All that were ever changed, and whether they were at the last audit. */
  get drifts(): DataplaneSnapshot['sysctlDrift'] {
    return [...this.#drifts.values()];
  }

  /** Nothing is known to have changed; what follows says so where it has. */
  begin(): void {
    for (const drift of this.#drifts.values()) drift.drifted = false;
  }

  /** @param namespace undefined: our own */
  look(guards: Pick<SegmentGuards, 'audit'>, namespace?: string): void {
    for (const drift of guards.audit()) this.#note(drift, namespace);
  }

  #note(drift: Drift, namespace: string | undefined): void {
    const { detection, log, routers } = this.#options;
    const { interface: name, key, found, repaired } = drift;
    const label = namespace === undefined ? name : `${namespace}/${name}`;
    this.#drifts.set(`${label} ${key}`, { interface: label, key, drifted: true });
    log.warn({ interface: label, key, found, repaired }, 'a sysctl that virtual IPs rely on was changed');
    detection.drifted(label, key, found, repaired);
    if (repaired) return;
    for (const router of routers()) if (router.namespace === namespace) router.guardsFailed(drift);
  }
}
