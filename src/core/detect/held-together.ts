import { NodeTimes, type Stamp } from './log-time.js';

/*
 * Two masters that nobody heard: LAN and log were both cut. Afterwards the log has what each of them told, and so from
 * when to when each held. Each node reads that, and tells of every other one that has held beside it.
 */

/** A change of masters overlaps by the reaction of the one and the attach of the other. */
export const togetherMsMin = 50;
/** In an agreed handover both hold, by intent, for at most this long. */
export const handoverTogetherMsMax = 400;
/** A monotonic clock that goes back by more has begun anew. */
const restartedMs = 60_000;
/** What ended longer ago, by the log's clock, is history. */
const newsMs = 10 * 60_000;
/** What a detector hears was said a while ago, and before that one may have begun. */
const hearsWithinMs = 1000;
const changesWithinMs = 100;
/** What was read again is found again, to about this. */
const sameMs = 500;
/** What stood still says so soon after it wakes, and others of its node no sooner. */
const wakesWithinMs = 500;
/** A node that comes back says more than one thing. */
const saysAllWithinMs = 1000;
const signsMax = 16;
/** In the log times are whole nanoseconds. */
const nanosecondMs = 1e-3;
/** Of each node and virtual router. */
const tenuresMax = 32;

/** What an event says of who holds. */
export type Holding =
  | { readonly type: 'takes'; readonly vr: string; readonly byHandover: boolean }
  | { readonly type: 'began'; readonly vr: string }
  /** `isUnsure`: it may have ended before, since the node was not running. */
  | { readonly type: 'ended'; readonly vr: string; readonly isUnsure: boolean }
  | { readonly type: 'handsOver'; readonly vr: string }
  | { readonly type: 'didNotHold'; readonly vr: string }
  /** Of every virtual router. `seenMs`: when it was last known to go on, by the node's clock; undefined: until now. */
  | { readonly type: 'allEnded'; readonly seenMs: number | undefined }
  /**
   * An episode that this node tells of another. `span`: from when to when, by the log's clock, where it was read there;
   * otherwise a detector tells, since about now.
   */
  | { readonly type: 'told'; readonly vr: string; readonly rival: string; readonly span: TogetherSpan | undefined };

export interface TogetherSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Word extends Stamp {
  readonly node: string;
  /** Of the dataplane's run; empty where the agent does not know it. Undefined where a node's events are in no order. */
  readonly boot: string | undefined;
  /** Its dataplane saw it: a sign that this one was alive. */
  readonly isSign: boolean;
  readonly holding: Holding | undefined;
}

/** One node holding one virtual router, by its own monotonic clock. */
interface Tenure {
  readonly node: string;
  /** Its node's clock; after one that stood still a tenure goes on as another. */
  readonly times: NodeTimes;
  readonly beganMs: number;
  readonly byHandover: boolean;
  /** Undefined while it goes on, as far as anybody knows. */
  endedMs: number | undefined;
  /** When the log had that, by its clock. */
  closedMs: number | undefined;
  handsOver: boolean;
  /** Whom this node has told to have held beside it, and those of others that are told of. */
  readonly told: { readonly rival: string; readonly atMs: number; readonly span: TogetherSpan | undefined }[];
  readonly isToldOf: Set<Tenure>;
}

export interface FoundTogether {
  readonly vr: string;
  readonly rival: string;
  /** At least, in milliseconds. */
  readonly togetherMs: number;
  /** When it began, at the latest; by the log's clock, since 1970. */
  readonly fromMs: number;
}

interface Node {
  boot: string;
  times: NodeTimes;
  /** The latest that it has told, in the order of its events, and at all. */
  spokeMs: number;
  latestMs: number;
  /** What it told last, and when that was read here. */
  readonly signs: { readonly atMs: number; readonly readMs: number }[];
  /** By virtual router: what it holds. */
  readonly holds: Map<string, Tenure>;
  /** What it takes in a handover. */
  readonly handed: Set<string>;
}

type Found = Pick<FoundTogether, 'togetherMs' | 'fromMs'>;

export class HeldTogether {
  readonly #self: string;
  readonly #nodes = new Map<string, Node>();
  /** By virtual router, in the order of reading. */
  readonly #tenures = new Map<string, Tenure[]>();
  #storedAtMs = 0;

  constructor(self: string) {
    this.#self = self;
  }

  /** @param nowMs by this node's monotonic clock */
  read(word: Word, nowMs: number): void {
    const { node: name, boot, atMs, storedAtMs, holding } = word;
    this.#storedAtMs = Math.max(this.#storedAtMs, storedAtMs);
    const node = this.#nodeOf(word);
    if (boot !== undefined && boot !== '' && node.boot !== boot) {
      // Of the run before nothing more is heard. When it ended, nobody says.
      endAll(node, provenBefore(node, atMs), storedAtMs);
      node.boot = boot;
    }
    const provenMs = provenBefore(node, atMs - wakesWithinMs);
    if (boot !== undefined) {
      node.spokeMs = Math.max(node.spokeMs, atMs);
      if (word.isSign) node.signs.push({ atMs, readMs: nowMs });
      if (node.signs.length > signsMax) node.signs.shift();
    }
    switch (holding?.type) {
      case undefined:
        return;
      case 'takes':
        if (holding.byHandover) node.handed.add(holding.vr);
        else node.handed.delete(holding.vr);
        end(node, holding.vr, Number.NEGATIVE_INFINITY, storedAtMs);
        return;
      case 'began':
        this.#begin(name, node, atMs, holding.vr);
        return;
      case 'handsOver': {
        const tenure = node.holds.get(holding.vr);
        if (tenure !== undefined) tenure.handsOver = true;
        return;
      }
      case 'ended':
        end(node, holding.vr, holding.isUnsure ? provenMs : atMs, storedAtMs);
        return;
      case 'didNotHold':
        // The log has lost its end.
        end(node, holding.vr, Number.NEGATIVE_INFINITY, storedAtMs);
        return;
      case 'allEnded':
        endAll(node, holding.seenMs ?? atMs, storedAtMs);
        return;
      case 'told':
        if (name === this.#self) this.#noteTold(holding, atMs);
    }
  }

  /** Who has held a virtual router beside this node, each once. @param isHolding whether this node does, and has told all */
  look(vr: string, isHolding: boolean, nowMs: number): readonly FoundTogether[] {
    const tenures = this.#tenures.get(vr) ?? [];
    const own = tenures.filter(({ node }) => node === this.#self);
    return own.flatMap((tenure) =>
      tenures.flatMap((other) => {
        if (other.node === this.#self || tenure.isToldOf.has(other)) return [];
        const found = this.#judge(tenure, other, isHolding, nowMs);
        if (found === undefined) return [];
        tenure.isToldOf.add(other);
        return isTold(tenure, other.node, found) ? [] : [{ vr, rival: other.node, ...found }];
      }),
    );
  }

  /** What a node told at that time was read, or something later. */
  hasRead(node: string, atMs: number): boolean {
    return atMs <= (this.#nodes.get(node)?.spokeMs ?? Number.NEGATIVE_INFINITY) + nanosecondMs;
  }

  #noteTold({ vr, rival, span }: Extract<Holding, { type: 'told' }>, atMs: number): void {
    const own = this.#tenures.get(vr)?.filter(({ node, beganMs }) => node === this.#self && beganMs <= atMs) ?? [];
    const seenIn = span === undefined ? own.slice(-1) : own;
    for (const { told } of seenIn) told.push({ rival, atMs, span });
  }

  #judge(own: Tenure, other: Tenure, isHolding: boolean, nowMs: number): Found | undefined {
    // While both go on, adverts and leases tell.
    if (own.endedMs === undefined && other.endedMs === undefined) return undefined;
    // What others have told last may be long ago; of itself a node knows.
    const ownSpan = spanOf(own, isHolding ? Number.POSITIVE_INFINITY : this.#provenMs(own, nowMs));
    const otherSpan = spanOf(other, this.#provenMs(other, nowMs));
    if (ownSpan === undefined || otherSpan === undefined) return undefined;
    const fromMs = Math.max(ownSpan.fromMs, otherSpan.fromMs);
    const toMs = Math.min(ownSpan.toMs, otherSpan.toMs);
    const togetherMs = toMs - fromMs;
    const [earlier, later] = otherSpan.fromMs > ownSpan.fromMs ? [own, other] : [other, own];
    const isHandover = later.byHandover && earlier.handsOver;
    if (togetherMs < (isHandover ? handoverTogetherMsMax : togetherMsMin)) return undefined;
    return toMs < this.#storedAtMs - newsMs ? undefined : { togetherMs, fromMs };
  }

  /** What goes on has gone on until the node's last word, unless it has more to say at once. */
  #provenMs({ node: name, times, beganMs }: Tenure, nowMs: number): number {
    const node = this.#nodes.get(name);
    if (node?.times !== times) return beganMs;
    const signs = node.signs.flatMap((sign) => (sign.readMs <= nowMs - saysAllWithinMs ? [sign.atMs] : []));
    return Math.max(beganMs, ...signs);
  }

  #begin(name: string, node: Node, atMs: number, vr: string): void {
    const tenures = this.#tenures.get(vr) ?? [];
    // Told twice, since the agent died before it could say that it had taken it; or read again.
    const isKnown = tenures.some((each) => each.node === name && each.times === node.times && each.beganMs >= atMs);
    if (isKnown || node.holds.has(vr)) return;
    const began: Tenure = {
      node: name,
      times: node.times,
      beganMs: atMs,
      byHandover: node.handed.has(vr),
      endedMs: undefined,
      closedMs: undefined,
      handsOver: false,
      told: [],
      isToldOf: new Set(),
    };
    node.holds.set(vr, began);
    this.#put(vr, began);
  }

  #nodeOf(word: Word): Node {
    const { node: name, boot = '', atMs } = word;
    const known = this.#nodes.get(name);
    if (known === undefined) {
      const node = {
        boot,
        times: new NodeTimes(),
        spokeMs: Number.NEGATIVE_INFINITY,
        latestMs: atMs,
        signs: [],
        holds: new Map(),
        handed: new Set<string>(),
      };
      node.times.told(word);
      this.#nodes.set(name, node);
      return node;
    }
    if (atMs < known.latestMs - restartedMs) {
      endAll(known, provenBefore(known, Number.POSITIVE_INFINITY), word.storedAtMs);
      known.signs.splice(0);
      known.times = new NodeTimes();
      known.spokeMs = Number.NEGATIVE_INFINITY;
      known.latestMs = atMs;
    } else if (!known.times.isInStepWith(word)) this.#clockBroke(known, word);
    known.times.told(word);
    known.latestMs = Math.max(known.latestMs, atMs);
    return known;
  }

  /** What was held before is known up to its last sign; what is held after, from the first sign on. */
  #clockBroke(node: Node, { atMs, storedAtMs }: Word): void {
    node.times = new NodeTimes();
    const provenMs = provenBefore(node, Number.POSITIVE_INFINITY);
    for (const [vr, before] of [...node.holds]) {
      end(node, vr, provenMs, storedAtMs);
      const after: Tenure = { ...before, times: node.times, beganMs: atMs, endedMs: undefined, closedMs: undefined };
      node.holds.set(vr, after);
      this.#put(vr, after);
    }
    node.signs.splice(0);
  }

  #put(vr: string, tenure: Tenure): void {
    const isNews = ({ closedMs }: Tenure): boolean => closedMs === undefined || closedMs > this.#storedAtMs - newsMs;
    const tenures = (this.#tenures.get(vr) ?? []).filter(isNews);
    const own = tenures.filter((each) => each.node === tenure.node);
    const oldest = own.length < tenuresMax ? undefined : own[0];
    this.#tenures.set(vr, [...tenures.filter((each) => each !== oldest), tenure]);
  }
}

function end(node: Node, vr: string, endedMs: number, closedMs: number): void {
  const tenure = node.holds.get(vr);
  if (tenure === undefined) return;
  tenure.endedMs = Math.max(endedMs, tenure.beganMs);
  tenure.closedMs = closedMs;
  node.holds.delete(vr);
}

function endAll(node: Node, endedMs: number, closedMs: number): void {
  for (const vr of [...node.holds.keys()]) end(node, vr, endedMs, closedMs);
}

/** The last sign of a node up to then. */
function provenBefore({ signs }: Node, atMs: number): number {
  return Math.max(Number.NEGATIVE_INFINITY, ...signs.flatMap((sign) => (sign.atMs <= atMs ? [sign.atMs] : [])));
}

/** From when to when it surely held, by the log's clock; undefined where nobody can say. */
function spanOf(tenure: Tenure, untilMs: number): { readonly fromMs: number; readonly toMs: number } | undefined {
  const { times, beganMs, endedMs = untilMs } = tenure;
  const fromMs = times.at(beganMs)?.latestMs;
  const toMs = endedMs === Number.POSITIVE_INFINITY ? endedMs : times.at(endedMs)?.earliestMs;
  if (fromMs === undefined || toMs === undefined) return undefined;
  return { fromMs, toMs };
}

/** What was read again. Soon after the two may hold at once anew. */
const isSame = (one: TogetherSpan, other: TogetherSpan): boolean =>
  Math.abs(one.fromMs - other.fromMs) < sameMs &&
  Math.max(one.fromMs, other.fromMs) <= Math.min(one.toMs, other.toMs) + changesWithinMs;

/** What a detector told while it went on is not told again. */
function isTold({ told, times }: Tenure, rival: string, { fromMs, togetherMs }: Found): boolean {
  return told.some((each) => {
    if (each.rival !== rival) return false;
    if (each.span !== undefined) return isSame(each.span, { fromMs, toMs: fromMs + togetherMs });
    const at = times.at(each.atMs);
    if (at === undefined) return false;
    const { earliestMs, latestMs } = at;
    return latestMs >= fromMs - changesWithinMs && earliestMs <= fromMs + togetherMs + hearsWithinMs;
  });
}
