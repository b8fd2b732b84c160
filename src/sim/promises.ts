/** The promises, by the names that reports use. */
export const promises = {
  attached:
    'no advert and no announcement by a node whose addresses are not attached, none of priority 0 while they are',
  terms: 'terms only grow, and none is owned twice',
  single: 'two nodes hold an address only while nothing joins them, in a handover, or for one reaction',
  lease: '`strict` has two holders only after a clock that stood still',
  settles: 'with all faults gone there is exactly one holder, and the log says who',
  rests:
    'while nothing changes but the LAN is broken, an address comes to rest: in a long while it moves as often as there are nodes, at most',
  released: 'in mode `wire` releases in the log move no address to and fro beside another master that is heard',
  noticed:
    'two holders of over 100 ms are told of by one of them, within 2 s of reading all that both told, in an episode that the log has, and no other two are',
  configured:
    'nobody takes over with another configuration than the one in force; with all faults gone every node runs what its file says, and none is barred',
  switches: 'for each edit of a file another configuration comes into force a few times, at most',
  logLoss:
    'without the log nobody takes over under `onLogLoss: hold` and `release`, and under `release` nobody holds for longer than a lease',
  orphaned:
    'addresses of a dataplane that is dead or frozen are gone within the reaction of its guard, and without one with their lifetime',
  recorded: 'the audit of the log as it stands in the end finds nothing broken',
} as const;
export type PromiseName = keyof typeof promises;

export interface Violation {
  readonly promise: PromiseName;
  readonly atMs: number;
  readonly text: string;
}

/** What the LAN, the log and the processes cost on top of one advert interval when everything is well. */
export const reactionMs = 100;
export const handoverMsMax = 400;

/** The longest that two joined nodes may hold the same address: one advert interval and a reaction. */
export const doubleMsMax = (advertIntervalMs: number): number => advertIntervalMs + reactionMs;
