/** Milliseconds of the monotonic clock, with a fraction: CLOCK_MONOTONIC, the clock of `process.hrtime`. */
export type MonotonicClock = () => number;

const readings = 16;

/**
 * How far `one` is ahead of `other`, two clocks that run alike: by the readings that followed each other the fastest, since
 * a process may lose the processor between any two.
 */
export function aheadMs(one: MonotonicClock, other: MonotonicClock): number {
  let leastMs = Number.POSITIVE_INFINITY;
  let ahead = 0;
  for (let round = 0; round < readings; round++) {
    const before = other();
    const at = one();
    const after = other();
    if (after - before >= leastMs) continue;
    leastMs = after - before;
    ahead = at - (before + after) / 2;
  }
  return ahead;
}

/** `performance.now` reads the same clock from another beginning, and makes no object. */
const performanceBeganMs = aheadMs(
  () => Number(process.hrtime.bigint()) / 1e6,
  () => performance.now(),
);

export const monotonicMs: MonotonicClock = () => performance.now() + performanceBeganMs;

/** What a sleeper is told when its time has come; `lateMs` is how much later than asked. */
export type Wake = (atMs: number, lateMs: number) => void;

/** Looked at before the sockets are drained: true where all there was to do was done without deciding anything. */
export type QuickWake = (atMs: number, lateMs: number) => boolean;

interface Sleeper {
  dueAtMs: number;
  wake: Wake;
  quick: QuickWake | undefined;
  /** Where it is in the heap; -1: nowhere. */
  at: number;
  /** Its time has come in this turn, and it has been neither woken nor moved. */
  isDue: boolean;
}

export interface SchedulerTurn {
  /** First of all, where anything is due. */
  readonly begin?: () => void;
  /** Last of all. */
  readonly end?: () => void;
}

/**
 * One timer for everything that waits in the dataplane: each sleeper has at most one deadline, and may move it. The
 * nearest one is on top of a heap.
 *
 * Before the sleepers that are due wake, `beforeWake` runs once: there the sockets are drained, since an advert that
 * waits in the kernel counts as heard.
 */
export class Scheduler {
  readonly #now: MonotonicClock;
  readonly #beforeWake: () => void;
  readonly #turn: SchedulerTurn;
  readonly #sleepers = new Map<string, Sleeper>();
  readonly #heap: Sleeper[] = [];
  readonly #due: Sleeper[] = [];
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #waking = false;

  constructor(now: MonotonicClock, beforeWake: () => void, turn: SchedulerTurn = {}) {
    this.#now = now;
    this.#beforeWake = beforeWake;
    this.#turn = turn;
  }

  /** Sets or moves the deadline of `name`; undefined lets it sleep for ever. */
  set(name: string, dueAtMs: number | undefined, wake: Wake, quick?: QuickWake): void {
    const known = this.#sleepers.get(name);
    if (dueAtMs === undefined) {
      if (known === undefined) return;
      this.#sleepers.delete(name);
      this.#leaveHeap(known);
      known.isDue = false;
      return;
    }
    const sleeper = known ?? { dueAtMs, wake, quick, at: -1, isDue: false };
    if (known === undefined) this.#sleepers.set(name, sleeper);
    sleeper.wake = wake;
    sleeper.quick = quick;
    sleeper.isDue = false;
    this.#place(sleeper, dueAtMs);
    if (!this.#waking && dueAtMs < this.#timerAtMs) this.#arm(dueAtMs);
  }

  /** Now, and again each time that so much has passed. */
  every(name: string, intervalMs: number, act: () => void): void {
    const run = (atMs: number): void => {
      this.set(name, atMs + intervalMs, run);
      act();
    };
    run(this.#now());
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#sleepers.clear();
    this.#heap.length = 0;
    for (const sleeper of this.#due) sleeper.isDue = false;
  }

  #arm(dueAtMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = dueAtMs;
    if (dueAtMs === Number.POSITIVE_INFINITY) return;
    // Never early: a timer rounded down would find nothing due and cost another turn.
    const delayMs = Math.min(Math.max(0, Math.ceil(dueAtMs - this.#now())), 60_000);
    this.#timer = setTimeout(() => this.#wake(), delayMs);
  }

  #wake(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#waking = true;
    try {
      if ((this.#heap[0]?.dueAtMs ?? Number.POSITIVE_INFINITY) > this.#now()) return;
      this.#turn.begin?.();
      this.#wakeDue();
    } finally {
      for (const sleeper of this.#due) if (sleeper.isDue) this.#place(sleeper, sleeper.dueAtMs);
      this.#due.length = 0;
      this.#waking = false;
      this.#turn.end?.();
      this.#arm(this.#heap[0]?.dueAtMs ?? Number.POSITIVE_INFINITY);
    }
  }

  #wakeDue(): void {
    this.#takeDue();
    const quickMs = this.#now();
    let isAnyLeft = false;
    for (const sleeper of this.#due) {
      if (!sleeper.isDue) continue;
      if (sleeper.quick?.(quickMs, quickMs - sleeper.dueAtMs) !== true) isAnyLeft = true;
      else if (sleeper.isDue) sleeper.isDue = false;
    }
    if (!isAnyLeft) return;
    this.#beforeWake();
    this.#takeDue();
    const nowMs = this.#now();
    for (const sleeper of this.#due) {
      if (!sleeper.isDue) continue;
      sleeper.isDue = false;
      sleeper.wake(nowMs, nowMs - sleeper.dueAtMs);
    }
  }

  #takeDue(): void {
    const nowMs = this.#now();
    for (let first = this.#heap[0]; first !== undefined && first.dueAtMs <= nowMs; first = this.#heap[0]) {
      this.#leaveHeap(first);
      first.isDue = true;
      this.#due.push(first);
    }
  }

  // ── the heap: nobody is due before whoever is above ───────────────────────────────────────────────────────────────

  #place(sleeper: Sleeper, dueAtMs: number): void {
    const isNearer = sleeper.at >= 0 && dueAtMs < sleeper.dueAtMs;
    sleeper.dueAtMs = dueAtMs;
    if (sleeper.at < 0) {
      sleeper.at = this.#heap.length;
      this.#heap.push(sleeper);
      this.#rise(sleeper);
    } else if (isNearer) this.#rise(sleeper);
    else this.#sink(sleeper);
  }

  #leaveHeap(sleeper: Sleeper): void {
    const { at } = sleeper;
    if (at < 0) return;
    sleeper.at = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === sleeper) return;
    this.#heap[at] = last;
    last.at = at;
    this.#rise(last);
    this.#sink(last);
  }

  #rise(sleeper: Sleeper): void {
    const heap = this.#heap;
    let { at } = sleeper;
    while (at > 0) {
      const above = heap[(at - 1) >> 1];
      if (above === undefined || above.dueAtMs <= sleeper.dueAtMs) break;
      heap[at] = above;
      const next = above.at;
      above.at = at;
      at = next;
    }
    heap[at] = sleeper;
    sleeper.at = at;
  }

  #sink(sleeper: Sleeper): void {
    const heap = this.#heap;
    let { at } = sleeper;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const nearer = right !== undefined && left !== undefined && right.dueAtMs < left.dueAtMs ? right : left;
      if (nearer === undefined || nearer.dueAtMs >= sleeper.dueAtMs) break;
      heap[at] = nearer;
      const next = nearer.at;
      nearer.at = at;
      at = next;
    }
    heap[at] = sleeper;
    sleeper.at = at;
  }
}
