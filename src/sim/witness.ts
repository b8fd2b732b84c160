import type { Candidacy } from '../core/election-rules.js';
import type { Term } from '../core/identity.js';
import { clockDriftMax } from '../core/lease.js';
import type { Effect, Vr } from '../core/vr-state.js';
import type { Finding } from '../log/audit-words.js';
import { isObservation, type KoiEvent } from '../log/event.js';
import type { StoredEvent } from '../log/port.js';
import type { LogState } from '../log/projection.js';
import { guardTimeoutMs } from './guard-process.js';
import { addressesLastMs } from './kernel-addresses.js';
import type { SimulatedNode } from './simulated-node.js';
import { type PastDouble, SplitBrainReports, toldFromMs } from './split-brain-reports.js';
import { emptyTally, type Tally } from './tally.js';
import { ToldInTime, toldWithinMs } from './told-in-time.js';
import type { Mode, RouterSettings, World } from './world.js';

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
/** What a guard needs to take addresses off once its machine runs again. */
const wakeMs = 3;
/** From the dataplane's death, or the end of the guard's patience, to the addresses off. */
const guardReactionMs = 5;
/** Two writes that a slow disk has begun. */
const slowWritesMsMax = 3000;
/** A handover that is under way when the log has been away for a lease is brought to its end first. */
const letsGoAfterMs = 1500;

/** One release may be misunderstood: a node that serves again tells late of having let go before. */
const toAndFroIntervals = 10;

/** How long a guard leaves addresses to a dataplane that is dead or frozen. */
const guardedMs = { dead: guardReactionMs, frozen: guardTimeoutMs + guardReactionMs };

/** The longest that two joined nodes may hold the same address: one advert interval and a reaction. */
export const doubleMsMax = (advertIntervalMs: number): number => advertIntervalMs + reactionMs;

/** How often configurations may come into force: whenever the node that wanted the one before is gone, the other may follow. */
const switchesMax = (edits: number): number => 3 * edits;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Double {
  readonly sinceMs: number;
  awakeMs: number;
  /** Of that, within an agreed handover. */
  agreedMs: number;
  lookedAtMs: number;
  /** When they last refused each other's adverts for their configuration. */
  refusedAtMs: number;
  /** One of them refused the other's. */
  wasDeaf: boolean;
}

/** Addresses that no dataplane looks after, since it is dead or frozen. */
interface Orphan {
  readonly why: 'dead' | 'frozen';
  readonly sinceMs: number;
  /** A guard has been there all the time. */
  isGuarded: boolean;
}

const never = Number.POSITIVE_INFINITY;

/**
 * Looks at the whole world after each event, which no node can, and holds it against the promises. It keeps no rule of
 * the election, only what the promises say.
 */
export class Witness {
  readonly tally: Writable<Tally> = { ...emptyTally };
  violation: Violation | undefined;
  readonly #world: () => World;
  readonly #nodes: readonly SimulatedNode[];
  /** By virtual router, then by pair. */
  readonly #doubles = new Map<string, Double>();
  readonly #past: PastDouble[] = [];
  readonly #reports = new SplitBrainReports((idOrAddress) => this.#indexOf(idOrAddress));
  readonly #toldInTime = new ToldInTime((node) => this.#nodes[node]);
  /** By node and virtual router: since when it holds without a break. */
  readonly #heldSinceMs = new Map<string, number>();
  /** By node and virtual router. */
  readonly #orphans = new Map<string, Orphan>();
  readonly #resignedAtMs = new Map<string, number>();
  /** By virtual router: when a release in the log last let a node take over beside a master that it heard. */
  readonly #tookBesideMasterAtMs = new Map<string, number>();
  readonly #ownedTerms = new Map<string, Map<number, string>>();
  readonly #lastTerms = new Map<string, { readonly term: Term; readonly boot: string; readonly isExcused: boolean }>();
  /** Per node: until when its disk may be so slow that a takeover does not wait for it. */
  readonly #slowDiskUntilMs: number[];
  readonly #unservedSinceMs = new Map<string, number>();
  readonly #unheldSinceMs = new Map<string, number>();
  /** Per node: since when it runs, hears the log; per pair: since when the LAN joins them. */
  readonly #awakeSince: number[];
  readonly #hearsSince: number[];
  /** Per node: since when its dataplane has been told that the log is away. */
  readonly #deafSince: number[];
  readonly #joinedSince: number[][];
  /** Nodes with another configuration than the one in force, by virtual router. */
  readonly #barred = new Set<string>();
  /** How often the files of a virtual router were edited, and how often it was switched. */
  readonly #edits = new Map<string, number>();
  readonly #switches = new Map<string, number>();
  #logResetAtMs = 0;
  #handover = new Map<string, { readonly from: string; readonly to: string }>();
  #log: LogState | undefined;
  #mustSettleFromMs = never;
  /** By virtual router, once it has to be at rest. */
  readonly #atRest = new Map<string, { holders: readonly number[]; moves: number }>();

  constructor(world: () => World, nodes: readonly SimulatedNode[], nodeCount: number) {
    this.#world = world;
    this.#nodes = nodes;
    const each = (): number[] => Array.from({ length: nodeCount }, () => never);
    this.#awakeSince = each();
    this.#hearsSince = each();
    this.#deafSince = each();
    this.#slowDiskUntilMs = Array.from({ length: nodeCount }, () => 0);
    this.#joinedSince = Array.from({ length: nodeCount }, each);
  }

  // ── what nodes do ─────────────────────────────────────────────────────────────────────────────────────────────────

  sentAdvert(node: number, vr: string, candidacy: Candidacy, isHolding: boolean): void {
    const resigns = candidacy.kind === 'vrrp' && candidacy.priority === 0;
    if (resigns === isHolding) {
      this.#violated(
        'attached',
        `n${node + 1} sent an advert of ${vr} ${resigns ? 'with priority 0 while' : 'without'} holding it`,
      );
    }
    if (resigns && this.#holders(vr).some((holder) => holder !== node && this.#nodes[holder]?.isAwake === true)) {
      this.tally.needlessResignations += 1;
      this.#resignedAtMs.set(vr, this.#now());
    }
  }

  announced(node: number, vr: string, isHolding: boolean): void {
    if (!isHolding) this.#violated('attached', `n${node + 1} announced ${vr} without holding it`);
  }

  /** A node hears another master while it serves. */
  splitBrain(node: number, vr: string, began: boolean): void {
    if (!began) {
      this.#reports.heardNoMore(node, vr, this.#now());
      return;
    }
    this.tally.splitBrains += 1;
    const monotonicMs = this.#nodes[node]?.clock.monotonicMs() ?? 0;
    this.#reports.heard(node, vr, monotonicMs, this.#now());
  }

  attaching(node: number, vr: string, owned: Term, { parameters, phase }: Vr): void {
    const { arbitration, onLogLoss } = this.#settings(vr);
    const isAlone = phase.name === 'attaching' && phase.standing.kind === 'provisional';
    if (isAlone && arbitration === 'log' && onLogLoss !== 'wire') {
      this.#violated('logLoss', `n${node + 1} takes ${vr} without the log, under onLogLoss ${onLogLoss}`);
    }
    const key = `${node} ${vr}`;
    const last = this.#lastTerms.get(key);
    const goesBack =
      last !== undefined && (owned < last.term || (owned === last.term && parameters.boot !== last.boot));
    if (goesBack && !last.isExcused) {
      this.#violated('terms', `n${node + 1} takes ${vr} with term ${owned} after term ${last.term}`);
    }
    // Beside `strict` a takeover does not wait for a disk that is slow: then a term may come twice after a crash.
    const isExcused = arbitration !== 'strict' && this.#now() <= (this.#slowDiskUntilMs[node] ?? 0);
    this.#lastTerms.set(key, { term: owned, boot: parameters.boot, isExcused });
  }

  diskIsSlow(node: number, isSlow: boolean): void {
    this.#slowDiskUntilMs[node] = isSlow ? never : this.#now() + slowWritesMsMax;
  }

  barred(node: number, vr: string, isBarred: boolean): void {
    if (isBarred) this.#barred.add(`${vr} ${node}`);
    else this.#barred.delete(`${vr} ${node}`);
  }

  moved(node: number, vr: string, { from, to, reason }: Extract<Effect, { type: 'transition' }>): void {
    this.tally.transitions += 1;
    if (to === 'fenced') this.#reports.fenced(node, this.#now());
    if (to === 'master' && from === 'candidate') this.tally.takeovers += 1;
    if (reason === 'handed_over') this.tally.handovers += 1;
    if (to === 'candidate' && this.#barred.has(`${vr} ${node}`)) {
      this.#violated('configured', `n${node + 1} takes ${vr} over with another configuration`);
    }
    if (to === 'candidate' && reason === 'master_resigned') {
      const resignedAtMs = this.#resignedAtMs.get(vr) ?? Number.NEGATIVE_INFINITY;
      if (this.#now() - resignedAtMs < 100) this.tally.needlessClaims += 1;
    }
    if (to === 'candidate' && reason === 'master_released' && this.#hearsMaster(node, vr)) {
      this.tally.needlessTakeovers += 1;
      this.#tookBesideMaster(node, vr);
    }
  }

  #tookBesideMaster(node: number, vr: string): void {
    const { arbitration, advertIntervalMs } = this.#settings(vr);
    const lastMs = this.#tookBesideMasterAtMs.get(vr) ?? Number.NEGATIVE_INFINITY;
    this.#tookBesideMasterAtMs.set(vr, this.#now());
    if (arbitration !== 'wire' || this.#now() - lastMs > toAndFroIntervals * advertIntervalMs) return;
    const again = `again, after ${Math.round(this.#now() - lastMs)} ms`;
    this.#violated(
      'released',
      `n${node + 1} takes ${vr} since the log has a release, beside a master that it hears, ${again}`,
    );
  }

  /** A process died with news that nobody else has: what it alone knew of is excused. */
  lostNews(node: number): void {
    this.#reports.died(node, this.#now());
  }

  agentEnded(node: number): void {
    this.#reports.agentEnded(node, this.#now());
  }

  /** Its agent reads the log from the beginning. */
  readsAnew(node: number): void {
    this.#toldInTime.readsAnew(node);
  }

  /** Its agent has read one more event of the log, or a lease. */
  read(node: number, { event }: StoredEvent): void {
    const by = event === undefined ? undefined : this.#indexOf(event.node);
    if (event !== undefined && by !== undefined) this.#toldInTime.read(node, by, event);
  }

  /** Its monotonic clock stands still: what is bound to it is blurred. */
  clockStopped(node: number): void {
    this.#reports.clockStopped(node, this.#now());
  }

  /** The file of one node says another configuration. */
  edited(vr: string): void {
    this.#edits.set(vr, (this.#edits.get(vr) ?? 0) + 1);
  }

  #switched(vr: string): void {
    this.tally.switches += 1;
    const switches = (this.#switches.get(vr) ?? 0) + 1;
    this.#switches.set(vr, switches);
    const edits = this.#edits.get(vr) ?? 0;
    if (switches > switchesMax(edits)) {
      this.#violated('switches', `${vr} has been switched ${switches} times, and its files were edited ${edits} times`);
    }
  }

  // ── what the log says ─────────────────────────────────────────────────────────────────────────────────────────────

  /** One more event in the log; `state` is everything up to it. */
  stored(state: LogState, event: KoiEvent | undefined): void {
    const before = this.#log;
    this.#log = state;
    if (event === undefined) return;
    const isChainBroken = before !== undefined && state.regressions > before.regressions;
    if (isChainBroken && state.lastRegression?.kind === 'chain_broken' && this.#logResetAtMs === 0) {
      this.#violated('terms', `an event of ${event.node} does not carry the hash of the one before it`);
    }
    if (isObservation(event)) {
      this.#reports.stored(event);
      const by = this.#indexOf(event.node);
      if (by !== undefined) this.#toldInTime.stored(by, event);
    }
    const { payload, node } = event;
    const vr = 'vr' in event ? event.vr : undefined;
    if (vr === undefined) return;
    const eventTerm = 'term' in event ? (event.term ?? 0) : 0;
    if (payload.type === 'configSwitched' && payload.version > 1) this.#switched(vr);
    if (payload.type === 'handoverStarted') this.#handover.set(vr, { from: node, to: payload.to });
    else if (payload.type === 'claimed') this.#handover.delete(vr);
    if (payload.type !== 'claimed' && payload.type !== 'handoverStarted') return;
    const owned = this.#ownedTerms.get(vr) ?? new Map<number, string>();
    this.#ownedTerms.set(vr, owned);
    // An append meant for a log that has lost its end since: the chain shows it, and what it says of terms is no promise.
    if (isChainBroken && this.#logResetAtMs > 0) return;
    const other = owned.get(eventTerm);
    if (other !== undefined && other !== event.id) {
      this.#violated('terms', `term ${eventTerm} of ${vr} is owned by ${other} and by ${event.id}`);
    }
    owned.set(eventTerm, event.id);
    const highest = Math.max(0, ...[...owned.keys()].filter((known) => known !== eventTerm));
    if (eventTerm < highest) {
      this.#violated('terms', `${node} claims ${vr} with term ${eventTerm}, but the log has term ${highest}`);
    }
  }

  /** The log lost events, or is another: what it says now is judged by itself. */
  logReset(state: LogState): void {
    this.#log = state;
    this.#ownedTerms.clear();
    // Everything is read once more.
    this.#switches.clear();
    this.#handover.clear();
    this.tally.logResets += 1;
    this.#logResetAtMs = this.#now();
    this.#reports.logReset(this.#now());
  }

  // ── what everything looks like ────────────────────────────────────────────────────────────────────────────────────

  /** From now on there is one holder, always. */
  mustSettle(): void {
    this.#mustSettleFromMs = this.#now();
  }

  /** The LAN is broken for good: there may be two, or nobody that anybody hears. */
  needNotSettle(): void {
    this.#mustSettleFromMs = never;
  }

  /** From now on nothing changes any more, and no address should either. */
  mustRest(): void {
    for (const { name } of this.#world().routers) this.#atRest.set(name, { holders: this.#holders(name), moves: 0 });
  }

  observe(): boolean {
    this.#lookAtNodes();
    for (const { name, advertIntervalMs } of this.#world().routers) this.#lookAt(name, advertIntervalMs);
    this.#demandToldInTime();
    return this.violation === undefined;
  }

  /** At the end: what was noticed, and what the log has of it. */
  finish(): void {
    for (const { name } of this.#world().routers) {
      this.#forEachPair((a, b) => this.#endDouble(name, a, b));
      if (this.#mustSettleFromMs !== never) {
        this.#demandLogged(name);
        this.#demandConfigured(name);
      }
    }
    this.#demandTold();
  }

  #demandToldInTime(): void {
    const late = this.#toldInTime.late(
      this.#now(),
      (past) => this.#reports.isTold(past),
      (past) => this.#reports.excuse(past),
    );
    if (late === undefined) return;
    const since = `within ${toldWithinMs} ms of n${late.node + 1} having read what both told`;
    this.#violated('noticed', `nobody told, ${since}, that ${wordsOf(late.past)}`);
  }

  #demandTold(): void {
    const untold = this.#reports.untold(this.#past);
    if (untold !== undefined) this.#violated('noticed', `nobody told that ${wordsOf(untold)}`);
    const falseAlarm = this.#reports.falseAlarm();
    if (falseAlarm !== undefined) this.#violated('noticed', falseAlarm);
    const { told, excused } = this.#reports.count(this.#past);
    this.tally.doublesTold += told;
    this.tally.doublesExcused += excused;
  }

  #demandConfigured(vr: string): void {
    for (const node of this.#nodes) {
      const router = node.dataplane?.routers.get(vr);
      if (router === undefined) continue;
      const [runs, wanted] = [router.configuration.digest, node.fileOf(vr).digest];
      if (runs !== wanted) this.#violated('configured', `${node.id} runs ${runs}, and its file says ${wanted}`);
      if (router.isBarredByConfiguration) {
        this.#violated('configured', `${node.id} is barred from ${vr} for its configuration, ${runs}`);
      }
    }
  }

  /** What the audit of the log found broken. */
  audited([first, ...more]: readonly Finding[]): void {
    if (first === undefined) return;
    const { what, node, vr, sequence, detail } = first;
    const others = more.length === 0 ? '' : `, and ${more.length} more`;
    this.#violated('recorded', `${what} at ${sequence} of ${node ?? 'nobody'}, ${vr ?? 'no vr'}: ${detail}${others}`);
  }

  #demandLogged(vr: string): void {
    const [holder] = this.#holders(vr);
    if (holder === undefined) return;
    const node = this.#nodes[holder];
    const phase = node?.dataplane?.routers.get(vr)?.machine.phase;
    const holding = this.#log?.virtualRouters.get(vr)?.holding;
    const standing = phase !== undefined && 'standing' in phase ? phase.standing?.kind : undefined;
    const isLogged = standing === 'logged' && holding?.owner === node?.id && holding?.released === false;
    if (isLogged) return;
    // Where the LAN alone arbitrates, a claim whose owner died unheard stands: nobody contests it.
    if (this.#modeOf(vr) === 'wire' && holding !== undefined && !holding.released && holding.owner !== node?.id) return;
    const said =
      holding === undefined
        ? 'nobody'
        : `${holding.owner} (term ${holding.term}, ${holding.released ? 'released' : 'holding'})`;
    this.#violated('settles', `${node?.id} holds ${vr} ${standing ?? 'without a standing'}, and the log names ${said}`);
  }

  #lookAtNodes(): void {
    const nowMs = this.#now();
    const { logServer, lan } = this.#world();
    const { stalled, losesAnswers, losesRequests } = logServer.faults;
    const logIsWell = !stalled && !losesAnswers && !losesRequests;
    this.#nodes.forEach((node, index) => {
      keepSince(this.#awakeSince, index, node.isAwake, nowMs);
      this.#reports.runs(index, node.dataplane === undefined || node.isAwake, nowMs);
      keepSince(this.#hearsSince, index, logIsWell && node.hearsLog, nowMs);
      this.#reports.hearsLog(index, logIsWell && node.hearsLog, nowMs);
      this.#toldInTime.hearsLog(index, logIsWell && node.hearsLog);
      keepSince(this.#deafSince, index, node.isAwake && node.knowsLogAway, nowMs);
    });
    if (!lan.changed) return;
    lan.changed = false;
    this.#forEachPair((a, b) => {
      const row = this.#joinedSince[a];
      if (row !== undefined) keepSince(row, b, lan.joins(a, b), nowMs);
    });
  }

  #lookAt(vr: string, advertIntervalMs: number): void {
    for (const node of this.#nodes) {
      this.#reports.holds(vr, node.index, node.addresses.has(vr), this.#now());
      this.#lookAtOrphan(vr, node);
      this.#lookAtLogLoss(vr, node);
    }
    const holders = this.#holders(vr);
    this.#lookAtService(vr, holders);
    this.#lookAtRest(vr, holders);
    if (this.#mustSettleFromMs !== never) this.#demandHolder(vr, holders.length > 0);
    if (holders.length < 2 && this.#doubles.size === 0) return;
    this.#forEachPair((a, b) => {
      if (holders.includes(a) && holders.includes(b)) this.#double(vr, a, b, advertIntervalMs);
      else this.#endDouble(vr, a, b);
    });
  }

  #lookAtOrphan(vr: string, node: SimulatedNode): void {
    const { dataplane, guard } = node;
    const key = `${node.index} ${vr}`;
    const isKept = node.isHolding(vr) && dataplane?.isRunning !== true;
    if (!isKept) {
      this.#orphans.delete(key);
      return;
    }
    const nowMs = this.#now();
    const why: Orphan['why'] = dataplane === undefined ? 'dead' : 'frozen';
    const isGuarded = guard?.isAlive === true;
    const known = this.#orphans.get(key);
    const orphan = known?.why === why ? known : { why, sinceMs: nowMs, isGuarded };
    if (orphan !== known) this.#orphans.set(key, orphan);
    orphan.isGuarded &&= isGuarded;
    const allowedMs = orphan.isGuarded ? guardedMs[why] : addressesLastMs * (1 + clockDriftMax);
    if (nowMs - orphan.sinceMs <= allowedMs) return;
    const guarded = orphan.isGuarded ? 'a guard' : 'no guard';
    const forMs = Math.round(nowMs - orphan.sinceMs);
    this.#violated('orphaned', `${node.id} has ${vr}, with a dataplane ${why} for ${forMs} ms and ${guarded}`);
  }

  #lookAtLogLoss(vr: string, { index, id, isAwake, addresses }: SimulatedNode): void {
    const { arbitration, onLogLoss, leaseMs } = this.#settings(vr);
    if (arbitration !== 'log' || onLogLoss !== 'release') return;
    const key = `${index} ${vr}`;
    const holds = isAwake && addresses.has(vr);
    const heldSinceMs = this.#heldSinceMs.get(key) ?? this.#now();
    if (holds) this.#heldSinceMs.set(key, heldSinceMs);
    else this.#heldSinceMs.delete(key);
    // A handover that the log delivers while it counts as away may be taken.
    const alone = this.#now() - Math.max(heldSinceMs, this.#deafSince[index] ?? never);
    if (alone <= leaseMs * (1 + clockDriftMax) + letsGoAfterMs) return;
    this.#violated('logLoss', `${id} holds ${vr} although it has been without the log for ${Math.round(alone)} ms`);
  }

  #lookAtRest(vr: string, holders: readonly number[]): void {
    const rest = this.#atRest.get(vr);
    if (rest === undefined) return;
    rest.moves += holders.filter((node) => !rest.holders.includes(node)).length;
    rest.holders = holders;
    // What a node knows of its neighbours may just have grown too old: it takes over, and each better placed one after it.
    if (rest.moves > this.#nodes.length)
      this.#violated('rests', `${vr} has moved ${rest.moves} times, and nothing changes`);
  }

  /** `strict` breaks before it makes: an instant without a holder is part of a handover. */
  #demandHolder(vr: string, isHeld: boolean): void {
    const nowMs = this.#now();
    if (isHeld) {
      this.#unheldSinceMs.delete(vr);
      return;
    }
    const sinceMs = this.#unheldSinceMs.get(vr) ?? nowMs;
    this.#unheldSinceMs.set(vr, sinceMs);
    const gapMs = this.#modeOf(vr) === 'strict' ? handoverMsMax : 0;
    if (nowMs - sinceMs >= gapMs) this.#violated('settles', `nobody holds ${vr}`);
  }

  #double(vr: string, a: number, b: number, advertIntervalMs: number): void {
    const nowMs = this.#now();
    const key = pairKey(vr, a, b);
    const known = this.#doubles.get(key);
    const double = known ?? {
      sinceMs: nowMs,
      awakeMs: 0,
      agreedMs: 0,
      lookedAtMs: nowMs,
      refusedAtMs: Number.NEGATIVE_INFINITY,
      wasDeaf: false,
    };
    if (known === undefined) this.#doubles.set(key, double);
    const areAwakeSince = Math.max(this.#awakeSince[a] ?? never, this.#awakeSince[b] ?? never);
    if (areAwakeSince !== never) double.awakeMs += nowMs - Math.max(double.lookedAtMs, areAwakeSince);
    double.lookedAtMs = nowMs;
    const handover = this.#handover.get(vr);
    const pair = [`n${a + 1}`, `n${b + 1}`];
    const isAgreed = handover !== undefined && pair.includes(handover.from) && pair.includes(handover.to);
    if (isAgreed && nowMs - double.sinceMs <= handoverMsMax) double.agreedMs = double.awakeMs;
    // A LAN on which neither takes the other's adverts joins them no more than a cut one. Where one does, notices tell.
    const refusals = this.#refusals(vr, a, b);
    const tellsNobody = this.#modeOf(vr) === 'wire' ? 1 : 2;
    if (refusals >= tellsNobody) double.refusedAtMs = nowMs;
    else if (refusals > 0) double.wasDeaf = true;
    const lanSince = Math.max(this.#joinedSince[a]?.[b] ?? never, double.refusedAtMs);
    const logSince = Math.max(this.#hearsSince[a] ?? never, this.#hearsSince[b] ?? never, this.#logResetAtMs);
    const mode = this.#modeOf(vr);
    const couldKnowSince = Math.max(
      double.sinceMs,
      Math.min(mode === 'wire' ? never : logSince, lanSince),
      areAwakeSince,
    );
    if (mode === 'strict' && !this.#isExcusedByClock(a, b)) {
      this.#violated('lease', `n${a + 1} and n${b + 1} hold ${vr}, and the clock of neither stood still`);
    }
    if (couldKnowSince === never) return;
    if (isAgreed && nowMs - double.sinceMs <= handoverMsMax) return;
    const lastedMs = nowMs - Math.max(couldKnowSince, isAgreed ? double.sinceMs + handoverMsMax : 0);
    const beyondMs = lastedMs - advertIntervalMs;
    this.tally.longestJoinedDoubleMs = Math.max(this.tally.longestJoinedDoubleMs, lastedMs);
    this.tally.longestBeyondIntervalMs = Math.max(this.tally.longestBeyondIntervalMs, beyondMs);
    // Whoever is deaf has to be told twice.
    const allowedMs = doubleMsMax(advertIntervalMs) * (double.wasDeaf ? 2 : 1);
    if (lastedMs <= allowedMs) return;
    this.#violated(
      'single',
      `${pair.join(' and ')} hold ${vr} for more than ${allowedMs} ms although ${Math.min(logSince, never) <= nowMs ? 'the log' : 'the LAN'} joins them`,
    );
  }

  /** How many of the two refuse the other's adverts, since they have another configuration. */
  #refusals(vr: string, a: number, b: number): 0 | 1 | 2 {
    const [one, other] = [a, b].map((index) => this.#nodes[index]?.dataplane?.routers.get(vr));
    if (one === undefined || other === undefined) return 0;
    const isHeard = other.takes(one.configuration.digest);
    const hears = one.takes(other.configuration.digest);
    return isHeard && hears ? 0 : isHeard || hears ? 1 : 2;
  }

  #indexOf(idOrAddress: string): number | undefined {
    return this.#nodes.find(({ id, lanAddress }) => id === idOrAddress || lanAddress === idOrAddress)?.index;
  }

  #modeOf(vr: string): Mode {
    return this.#settings(vr).arbitration;
  }

  /** As configured, whatever a node makes of it. */
  #settings(vr: string): RouterSettings {
    const settings = this.#world().routers.find(({ name }) => name === vr);
    if (settings === undefined) throw new Error(`no virtual router ${vr}`);
    return settings;
  }

  /**
   * A lease that was got before the machine's clock stood still lasts longer than anybody else counts, where nothing tells
   * the process that it did; where the wall clock tells, it has one reaction. And a machine that stood still with its clock
   * going on may have woken with what its lease no longer allows, until the guard is there.
   */
  #isExcusedByClock(a: number, b: number): boolean {
    const nowMs = this.#now();
    const { ttlMs } = this.#world().lease;
    return [this.#nodes[a], this.#nodes[b]].some((node) => {
      if (node === undefined) return false;
      const isStale = nowMs - node.clockStoodStillUntilMs <= ttlMs * (1 + clockDriftMax);
      return isStale || nowMs - node.wokeAtMs <= (node.wokeKnowing ? reactionMs : wakeMs);
    });
  }

  #endDouble(vr: string, a: number, b: number): void {
    const key = pairKey(vr, a, b);
    const double = this.#doubles.get(key);
    if (double === undefined) return;
    this.#doubles.delete(key);
    const { sinceMs, awakeMs, agreedMs } = double;
    const past: PastDouble = { vr, pair: [a, b], sinceMs, endMs: this.#now(), countedMs: awakeMs - agreedMs };
    this.#past.push(past);
    if (past.countedMs > toldFromMs)
      this.#toldInTime.ended(past, (node) => this.#nodes[node]?.addresses.has(vr) === true);
  }

  #lookAtService(vr: string, holders: readonly number[]): void {
    const nowMs = this.#now();
    const port = this.#world().lan.portOf(vr, holders);
    const isServed = port !== undefined && holders.includes(port) && this.#world().lan.passes(port, this.#nodes.length);
    const sinceMs = this.#unservedSinceMs.get(vr) ?? nowMs;
    if (isServed) this.#unservedSinceMs.delete(vr);
    else this.#unservedSinceMs.set(vr, sinceMs);
    this.tally.longestOutageMs = Math.max(this.tally.longestOutageMs, nowMs - sinceMs);
  }

  #holders(vr: string): number[] {
    const holders: number[] = [];
    for (const node of this.#nodes) if (node.isHolding(vr)) holders.push(node.index);
    return holders;
  }

  /** Another node serves, and has been joined with this one by the LAN for long enough to be heard. */
  #hearsMaster(node: number, vr: string): boolean {
    const intervalMs = this.#world().routers.find(({ name }) => name === vr)?.advertIntervalMs ?? 0;
    return this.#holders(vr).some((holder) => {
      const joinedSince = this.#joinedSince[Math.min(node, holder)]?.[Math.max(node, holder)] ?? never;
      return holder !== node && this.#nodes[holder]?.isAwake === true && this.#now() - joinedSince > 3 * intervalMs;
    });
  }

  #forEachPair(visit: (a: number, b: number) => void): void {
    for (let a = 0; a < this.#nodes.length; a++) for (let b = a + 1; b < this.#nodes.length; b++) visit(a, b);
  }

  #violated(promise: PromiseName, text: string): void {
    this.violation ??= { promise, atMs: this.#now(), text };
  }

  #now(): number {
    return this.#world().time.nowMs();
  }
}

const wordsOf = ({ vr, pair: [a, b], sinceMs, countedMs }: PastDouble): string =>
  `n${a + 1} and n${b + 1} held ${vr} for ${Math.round(countedMs)} ms from ${Math.round(sinceMs)} ms on`;

const pairKey = (vr: string, a: number, b: number): string => `${vr} ${Math.min(a, b)} ${Math.max(a, b)}`;

function keepSince(since: number[], index: number, is: boolean, nowMs: number): void {
  if (!is) since[index] = never;
  else if (since[index] === never) since[index] = nowMs;
}
