/** What a challenged holder has found out about its LAN. */
export interface LanEvidence {
  /** Neighbours it has just asked for an answer; none where it knows of nobody. */
  readonly asked: number;
  readonly answered: boolean;
  /** Anything at all has come in since. */
  readonly framesCame: boolean;
  /** It had asked before, long enough ago, and nobody has answered since. */
  readonly earlierUnanswered: boolean;
}

/**
 * Whether the LAN carries what a holder says. A carrier proves the cable to the switch, not that the switch forwards: an
 * answer proves both ways. Silence condemns at once; frames that come while nobody answers may be slow neighbours, and
 * condemn the second time. Who has nobody to ask has nobody to lose.
 */
export function lanCarries({ asked, answered, framesCame, earlierUnanswered }: LanEvidence): boolean {
  if (asked === 0 || answered) return true;
  return framesCame && !earlierUnanswered;
}
