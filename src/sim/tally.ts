/** What a simulation counts beside the promises. Durations are milliseconds, each the longest seen. */
export interface Tally {
  readonly transitions: number;
  readonly takeovers: number;
  readonly handovers: number;
  /** Configurations that came into force after the first. */
  readonly switches: number;
  /** Two holders that were joined and awake, from when they could have known of each other. */
  readonly longestJoinedDoubleMs: number;
  /** The same, less the advert interval. */
  readonly longestBeyondIntervalMs: number;
  /** Episodes that nodes have told of. */
  readonly splitBrains: number;
  /** Two that held for longer than is to be told of: those that an episode tells of, and those of whom nobody could know. */
  readonly doublesTold: number;
  readonly doublesExcused: number;
  /** Priority 0 sent while another node served … */
  readonly needlessResignations: number;
  /** … and a third that wanted to take over because of it. */
  readonly needlessClaims: number;
  /** Takeovers on a release in the log, beside another node that was heard serving. */
  readonly needlessTakeovers: number;
  /** The client's frames reached no holder. */
  readonly longestOutageMs: number;
  /** How often the log lost events or was replaced. */
  readonly logResets: number;
}

export const emptyTally: Tally = {
  transitions: 0,
  takeovers: 0,
  handovers: 0,
  switches: 0,
  longestJoinedDoubleMs: 0,
  longestBeyondIntervalMs: 0,
  splitBrains: 0,
  doublesTold: 0,
  doublesExcused: 0,
  needlessResignations: 0,
  needlessClaims: 0,
  needlessTakeovers: 0,
  longestOutageMs: 0,
  logResets: 0,
};

/** Counts add up; of the longest, the longer stays. */
export function addTally(a: Tally, b: Tally): Tally {
  return {
    transitions: a.transitions + b.transitions,
    takeovers: a.takeovers + b.takeovers,
    handovers: a.handovers + b.handovers,
    switches: a.switches + b.switches,
    longestJoinedDoubleMs: Math.max(a.longestJoinedDoubleMs, b.longestJoinedDoubleMs),
    longestBeyondIntervalMs: Math.max(a.longestBeyondIntervalMs, b.longestBeyondIntervalMs),
    splitBrains: a.splitBrains + b.splitBrains,
    doublesTold: a.doublesTold + b.doublesTold,
    doublesExcused: a.doublesExcused + b.doublesExcused,
    needlessResignations: a.needlessResignations + b.needlessResignations,
    needlessClaims: a.needlessClaims + b.needlessClaims,
    needlessTakeovers: a.needlessTakeovers + b.needlessTakeovers,
    longestOutageMs: Math.max(a.longestOutageMs, b.longestOutageMs),
    logResets: a.logResets + b.logResets,
  };
}
