import type { ChallengeVerdict } from '../core/vr-state.js';

/** Verdicts that wait for their claim, or have none. */
const keptMax = 1024;

/** What was found out about a holder, until the claim that rests on it is written and takes it along. */
export class HolderVerdicts {
  readonly #words = new Map<string, string>();

  /** `claim`: the one that is to follow. */
  note(vr: string, claim: string, verdict: ChallengeVerdict): void {
    // Of one that could not be asked nothing was found out.
    if (verdict.kind === 'unasked') return;
    this.#words.set(keyOf(vr, claim), verdict.kind === 'gone' ? verdict.why : verdict.kind);
    if (this.#words.size <= keptMax) return;
    const [oldest] = this.#words.keys();
    if (oldest !== undefined) this.#words.delete(oldest);
  }

  /** In the log's words; undefined where nobody had to be asked. A claim may be written twice. */
  of(vr: string, claim: string): string | undefined {
    return this.#words.get(keyOf(vr, claim));
  }
}

const keyOf = (vr: string, claim: string): string => `${claim} ${vr}`;
