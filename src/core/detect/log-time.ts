/*
 * When something happened, by the log's clock. Nodes' own clocks may differ by any time, and two nodes that held at once
 * differ from two that followed each other by milliseconds. What binds a node's clock to the log's is order alone: what it
 * had read was stored before, and what it told was stored after. A clock runs at one pace for a while, so the two are
 * bound by a line that passes above the former and below the latter.
 *
 *   the log's clock
 *     │        ▽ stored after it was told      ▽
 *     │                 ▽             ______----------  not after this line …
 *     │       _____----------======
 *     │  ------       △                 △               … and not before the lowest such
 *     │      △ had been stored when it was read
 *     └──────────────────────────────────────────────  the node's clock
 */

/** What two clocks may differ by in pace: as leases count. */
const paceMax = 1.1;
const sliceMs = 1000;
const slicesMax = 32;
/** Of what was read in this time the quickest tells most. */
const readLatelyMs = 2000;
const steps = 40;
const roundingMs = 1;

/** By the node's monotonic clock, and by the log's. */
export interface LogMoment {
  readonly atMs: number;
  readonly storedAtMs: number;
}

/** What a node has read of the log. */
export class LogReading {
  #best: LogMoment | undefined;
  #next: LogMoment | undefined;

  read(moment: LogMoment): void {
    if (this.#best === undefined || isCloser(moment, this.#best)) {
      this.#best = moment;
      this.#next = undefined;
    } else if (this.#next === undefined || isCloser(moment, this.#next)) this.#next = moment;
  }

  /** What binds the clocks best, of late; of before, where nothing was read since. */
  best(atMs: number): LogMoment | undefined {
    if (this.#best !== undefined && this.#next !== undefined && atMs > this.#best.atMs + readLatelyMs) {
      this.#best = this.#next;
      this.#next = undefined;
    }
    return this.#best;
  }
}

const aheadMs = ({ atMs, storedAtMs }: LogMoment): number => storedAtMs - atMs;
/** By more than any pace explains: the one was read after the other had been told, or stored before it. */
function isAhead(read: LogMoment, stored: LogMoment): boolean {
  const passedMs = read.atMs - stored.atMs;
  const paceTo = passedMs > 0 ? paceMax : 1 / paceMax;
  return read.storedAtMs > stored.storedAtMs + paceTo * passedMs + roundingMs;
}
/** Read, or stored, with less delay. */
const isCloser = (one: LogMoment, other: LogMoment): boolean => aheadMs(one) > aheadMs(other);

/** The best of each slice of time, the oldest forgotten. */
class Moments {
  readonly #isBetter: (one: LogMoment, other: LogMoment) => boolean;
  readonly #bySlice = new Map<number, LogMoment>();

  constructor(isBetter: (one: LogMoment, other: LogMoment) => boolean) {
    this.#isBetter = isBetter;
  }

  add(moment: LogMoment): void {
    const slice = Math.floor(moment.atMs / sliceMs);
    const known = this.#bySlice.get(slice);
    if (known !== undefined && !this.#isBetter(moment, known)) return;
    this.#bySlice.set(slice, moment);
    if (this.#bySlice.size <= slicesMax) return;
    const [oldest] = this.#bySlice.keys();
    if (oldest !== undefined) this.#bySlice.delete(oldest);
  }

  some(is: (moment: LogMoment) => boolean): boolean {
    for (const moment of this.#bySlice.values()) if (is(moment)) return true;
    return false;
  }

  nearest(atMs: number): readonly LogMoment[] {
    const apartMs = (moment: LogMoment): number => Math.abs(moment.atMs - atMs);
    return [...this.#bySlice.values()].sort((a, b) => apartMs(a) - apartMs(b));
  }
}

/** What anybody knows of one node's clock by what it told, until it starts anew with another. */
export class NodeTimes {
  readonly #read = new Moments(isCloser);
  readonly #stored = new Moments((one, other) => isCloser(other, one));

  /** Not where the clock has stood still, or the log's has been set: what was known of it before says nothing any more. */
  isInStepWith({ atMs, storedAtMs, read }: Stamp): boolean {
    const stood = read !== undefined && this.#stored.some((before) => isAhead(read, before));
    return !stood && !this.#read.some((before) => isAhead(before, { atMs, storedAtMs }));
  }

  /** It was told at a moment, when something else had been read. */
  told({ read, ...moment }: Stamp): void {
    this.#stored.add(moment);
    if (read !== undefined) this.#read.add(read);
  }

  /** When something happened, by the log's clock: not before, and not after. Undefined where the node does not say. */
  at(atMs: number): Span | undefined {
    const read = this.#read.nearest(atMs);
    const stored = this.#stored.nearest(atMs);
    // One of the clocks was set, or stood still: what is near counts, for as far as it goes together.
    for (let count = Math.max(read.length, stored.length); count > 0; count = Math.floor(count / 2)) {
      const found = spanAt(atMs, read.slice(0, count), stored.slice(0, count));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

export interface Span {
  readonly earliestMs: number;
  readonly latestMs: number;
}

/** An event, and what its node had read by then. */
export interface Stamp extends LogMoment {
  readonly read: LogMoment | undefined;
}

/** Undefined where no line of any pace passes between the two. */
function spanAt(atMs: number, read: readonly LogMoment[], stored: readonly LogMoment[]): Span | undefined {
  if (read.length === 0 || stored.length === 0) return undefined;
  const above = (pace: number): number => {
    let least = Number.POSITIVE_INFINITY;
    for (const moment of stored) least = Math.min(least, moment.storedAtMs - pace * (moment.atMs - atMs));
    return least;
  };
  const below = (pace: number): number => {
    let most = Number.NEGATIVE_INFINITY;
    for (const moment of read) most = Math.max(most, moment.storedAtMs - pace * (moment.atMs - atMs));
    return most;
  };
  const room = (pace: number): number => above(pace) - below(pace);
  const roomiest = highest(room, 1 / paceMax, paceMax);
  if (room(roomiest) < 0) return undefined;
  const slowest = edge(room, roomiest, 1 / paceMax);
  const quickest = edge(room, roomiest, paceMax);
  return {
    latestMs: above(highest(above, slowest, quickest)),
    earliestMs: below(highest((pace) => -below(pace), slowest, quickest)),
  };
}

/** Where a concave function is highest. */
function highest(of: (pace: number) => number, from: number, to: number): number {
  let [low, high] = [from, to];
  for (let step = 0; step < steps; step++) {
    const third = (high - low) / 3;
    if (of(low + third) < of(high - third)) low += third;
    else high -= third;
  }
  return (low + high) / 2;
}

/** How far a concave function that is not negative at `inside` stays so towards `end`. */
function edge(of: (pace: number) => number, inside: number, end: number): number {
  if (of(end) >= 0) return end;
  let [within, beyond] = [inside, end];
  for (let step = 0; step < steps; step++) {
    const middle = (within + beyond) / 2;
    if (of(middle) >= 0) within = middle;
    else beyond = middle;
  }
  return within;
}
