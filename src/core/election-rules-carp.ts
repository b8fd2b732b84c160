import { carpIntervalMs, carpMasterDownMs, carpTicks, isTooSlow, sentAdvskew } from './carp-timers.js';
import type { Candidacy, CarpElection, Comparison, ElectionRules } from './election-rules.js';

const farewellField = 255;
const demoteMax = 255;
const silentIntervals = 3;

/** CARP: the shorter interval wins, and before it, in OpenBSD, the lower demotion (`ip_carp.c` of both BSDs). */
export class CarpRules implements ElectionRules {
  readonly preemptsAt = 'advert';
  readonly isOwner = false;
  readonly #election: CarpElection;
  readonly #advskew: number;
  readonly #demote: number;

  constructor(election: CarpElection) {
    this.#election = election;
    this.#advskew = sentAdvskew(election.flavor, election.advskew, election.demotion);
    this.#demote = election.flavor === 'openbsd' ? Math.min(demoteMax, election.demotion) : 0;
  }

  get intervalMs(): number {
    return carpIntervalMs(this.#election.advbase, this.#advskew);
  }

  get candidacy(): Candidacy {
    return { kind: 'carp', advbase: this.#election.advbase, advskew: this.#advskew, demote: this.#demote };
  }

  get farewell(): Candidacy {
    return { kind: 'carp', advbase: farewellField, advskew: farewellField, demote: this.#demote };
  }

  /** Peers wait by their own values, which are like ours but for the skew. */
  get peerPatienceMs(): number {
    const { advbase } = this.#election;
    return advbase === 0 ? silentIntervals * this.intervalMs : silentIntervals * carpIntervalMs(advbase, 0);
  }

  masterIntervalMs(heard: Candidacy): number {
    return heard.kind === 'carp' ? carpIntervalMs(heard.advbase, heard.advskew) : this.intervalMs;
  }

  masterDownMs(): number {
    const { flavor, advbase, advskew } = this.#election;
    return carpMasterDownMs(flavor, advbase, advskew);
  }

  /** A farewell is an advert of a master that is bound to time out: it is taken at its word. */
  resignedMs(): number {
    return 0;
  }

  compare(heard: Candidacy): Comparison {
    if (heard.kind !== 'carp') return 'tie';
    if (heard.advbase === farewellField && heard.advskew === farewellField) return 'resigned';
    const { flavor, advbase } = this.#election;
    const theirs = carpTicks(heard.advbase, heard.advskew);
    if (flavor === 'openbsd' && heard.demote !== this.#demote) {
      return heard.demote < this.#demote ? 'better' : 'failing';
    }
    const own = carpTicks(advbase, this.#advskew);
    if (theirs === own) return 'tie';
    if (theirs < own) return 'better';
    return isTooSlow(flavor, advbase, this.#advskew, theirs) ? 'failing' : 'worse';
  }

  /**
   * BSD masters with equal adverts both give way and start over. ucarp's rule breaks the tie, and goes well with them:
   * the lower address stays.
   */
  yieldsTie(sourceOrder: -1 | 0 | 1): boolean {
    return sourceOrder < 0;
  }
}
