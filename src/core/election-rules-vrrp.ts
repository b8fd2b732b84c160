import type { Candidacy, Comparison, ElectionRules, VrrpElection } from './election-rules.js';
import { masterDownIntervalMs, silentAdverts, skewTimeMs } from './vrrp-timers.js';

const ownerPriority = 255;

/** VRRP versions 2 and 3: the higher priority wins, and of equals the higher address (RFC 3768, RFC 9568 §6). */
export class VrrpRules implements ElectionRules {
  readonly preemptsAt = 'timeout';
  readonly #election: VrrpElection;

  constructor(election: VrrpElection) {
    this.#election = election;
  }

  get intervalMs(): number {
    return this.#election.advertIntervalMs;
  }

  get candidacy(): Candidacy {
    return { kind: 'vrrp', priority: this.#election.priority, intervalMs: this.#election.advertIntervalMs };
  }

  get farewell(): Candidacy {
    return { kind: 'vrrp', priority: 0, intervalMs: this.#election.advertIntervalMs };
  }

  get isOwner(): boolean {
    return this.#election.priority === ownerPriority;
  }

  get peerPatienceMs(): number {
    return silentAdverts * this.#election.advertIntervalMs;
  }

  /** Version 3 learns the master's interval; version 2 has one for all and refuses every other (RFC 3768 §7.1). */
  masterIntervalMs(heard: Candidacy): number {
    if (heard.kind !== 'vrrp' || this.#election.protocol === 'vrrp2') return this.#election.advertIntervalMs;
    return heard.intervalMs;
  }

  masterDownMs(masterIntervalMs: number): number {
    return this.#election.protocol === 'vrrp3'
      ? masterDownIntervalMs(this.#election.priority, masterIntervalMs)
      : silentAdverts * this.#election.advertIntervalMs + this.#skewMs(masterIntervalMs);
  }

  resignedMs(masterIntervalMs: number): number {
    return this.#skewMs(masterIntervalMs);
  }

  compare(heard: Candidacy): Comparison {
    if (heard.kind !== 'vrrp' || heard.priority === this.#election.priority) return 'tie';
    if (heard.priority === 0) return 'resigned';
    return heard.priority > this.#election.priority ? 'better' : 'worse';
  }

  yieldsTie(sourceOrder: -1 | 0 | 1): boolean {
    return sourceOrder > 0;
  }

  /** Version 2 counts skew in 1/256 s, whatever the interval (RFC 3768 §6.1). */
  #skewMs(masterIntervalMs: number): number {
    return skewTimeMs(this.#election.priority, this.#election.protocol === 'vrrp2' ? 1000 : masterIntervalMs);
  }
}
