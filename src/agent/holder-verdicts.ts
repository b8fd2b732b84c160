import type { ChallengeVerdict } from '../core/vr-state.js';

/** Verdicts that wait for their claim, or have none. */
const keptMax = 1024;

/** What was found out about a holder, until the claim that rests on it is written and takes it along. */
export class HolderVerdicts {
  readonly #words = new Map<string, string>();

  /** `claim`: the one that is to follow. Until an answer comes there is none, and the claim may be made without waiting. */
  asked(vr: string, claim: string): void {
    this.#keep(vr, claim, 'no_answer');
  }

  note(vr: string, claim: string, verdict: ChallengeVerdict): void {
    // Of one that could not be asked nothing was found out.
    if (verdict.kind === 'unasked') this.#words.delete(keyOf(vr, claim));
    else this.#keep(vr, claim, verdict.kind === 'gone' ? verdict.why : verdict.kind);
  }

  #keep(vr: string, claim: string, word: string): void {
    this.#words.set(keyOf(vr, claim), word);
    if (this.#words.size <= keptMax) return;
    const [oldest] = this.#words.keys();
    if (oldest !== undefined) this.#words.delete(oldest);
  }

  /**
   * In the log's words; undefined where nobody had to be asked. A claim may be written twice. `reason`: of the claim; a
   * holder whose adverts are lost has shown by a frame over the LAN that it serves, which is quicker than its answer.
   */
  of(vr: string, claim: string, reason: string): string | undefined {
    return reason === 'advert_path_lost' ? 'serves' : this.#words.get(keyOf(vr, claim));
  }
}

const keyOf = (vr: string, claim: string): string => `${claim} ${vr}`;
