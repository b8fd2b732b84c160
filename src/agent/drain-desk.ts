import type { NodeId } from '../core/identity.js';
import { readDrained, writeDrained } from '../ipc/drain-file.js';
import type { ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import type { HandoverOutcome } from './handover-desk.js';

/** Handovers at a time, as many as the dataplane begins at most; it begins with fewer. */
const concurrencyMax = 16;
const attemptsMax = 4;
const retryMs = 250;
/** A handover of a drain gets so long, with the wait for its turn. */
const handoverMs = 5000;
/** A drained node that still serves something tries so often to give it away. */
const reconsiderMs = 5000;
/** How long a forced release may take. */
const forceMs = 3000;
const lookMs = 10;

/** What became of one virtual router that this node held when it was drained. */
export interface DrainedRouter {
  readonly vr: string;
  /** `kept`: nobody could take it, so this node serves it still. */
  readonly outcome: 'waiting' | 'handed_over' | 'released' | 'kept';
  readonly to: string | null;
  readonly tookMs: number | null;
  /** Why it is kept, or was released without anybody who takes it. */
  readonly why: string | null;
}

export interface DrainProgress {
  readonly drained: boolean;
  readonly since: string | null;
  /** Nothing more will happen by itself now. */
  readonly done: boolean;
  readonly vrs: readonly DrainedRouter[];
}

/** What the desk needs of the agent. */
export interface DrainPlace {
  readonly stateDir: string;
  readonly routers: () => readonly string[];
  readonly told: (vr: string) => VrStateMessage | undefined;
  /**
   * `updating`: this node is about to restart, as one of several. `passOver`: who has not taken it, which another one may,
   * where there is one.
   */
  readonly handOver: (
    vr: string,
    timeoutMs: number,
    updating: boolean,
    passOver: ReadonlySet<NodeId>,
  ) => Promise<HandoverOutcome>;
  readonly send: (message: ToDataplane) => boolean;
  /** Tells the log, the metrics and whoever else shows it. */
  readonly onChange: (drained: boolean, force: boolean) => void;
  readonly wallNow: () => number;
}

/** Takes this node out of service and back: what it holds goes to others, and it takes nothing, until it is undrained. */
export class DrainDesk {
  readonly #place: DrainPlace;
  readonly #outcomes = new Map<string, DrainedRouter>();
  readonly #timer: NodeJS.Timeout;
  #sinceMs: number | undefined;
  /** The dataplane whose end this drain is for, the next one where none has come yet; undefined: kept until undrain. */
  #endsWith: { dataplane: string | undefined } | undefined;
  /** Undefined before one has come. */
  #dataplane: string | undefined;
  #running: Promise<void> | undefined;
  /** Grows with each drain and undrain: what an earlier one still does is of no account. */
  #round = 0;

  /** @throws KoiError where the note of an earlier drain cannot be read */
  constructor(place: DrainPlace) {
    this.#place = place;
    this.#sinceMs = readDrained(place.stateDir, place.wallNow());
    this.#timer = setInterval(() => this.#reconsider(), reconsiderMs);
  }

  /** Since when, milliseconds since 1970; undefined while the node is in service. */
  get sinceMs(): number | undefined {
    return this.#sinceMs;
  }

  /** @param boot which run of the dataplane it is: another one ends a drain that was for the end of the last */
  dataplaneCame(boot: string): void {
    this.#dataplane = boot;
    const ending = this.#endsWith;
    if (ending !== undefined) ending.dataplane ??= boot;
    if (ending !== undefined && ending.dataplane !== boot) this.undrain();
    else this.tellDataplane();
  }

  /** A dataplane that has just connected knows only what was on disk when it started. */
  tellDataplane(): void {
    this.#place.send({ type: 'drain', drained: this.#sinceMs !== undefined, force: false });
  }

  /**
   * Begins, or goes on with `force`; `progress` tells how it goes.
   * @param untilRestart of the dataplane, and not beyond: nothing is kept on disk, and a drain that is stays as it is
   * @throws KoiError where it cannot be kept on disk: then nothing is changed
   */
  drain(force: boolean, untilRestart = false): DrainProgress {
    const isKept = this.#sinceMs !== undefined && this.#endsWith === undefined;
    if (this.#sinceMs === undefined || force || !(isKept || untilRestart)) {
      const sinceMs = this.#sinceMs ?? this.#place.wallNow();
      const endsWith = untilRestart && !isKept ? { dataplane: this.#dataplane } : undefined;
      if (endsWith === undefined) writeDrained(this.#place.stateDir, sinceMs);
      this.#sinceMs = sinceMs;
      this.#endsWith = endsWith;
      this.#place.onChange(true, force);
    }
    this.tellDataplane();
    this.#outcomes.clear();
    for (const vr of this.#held()) this.#note(vr, 'waiting');
    this.#round += 1;
    this.#start(this.#round, force);
    return this.progress();
  }

  /** @throws KoiError where the note on disk cannot be removed: then nothing is changed */
  undrain(): DrainProgress {
    writeDrained(this.#place.stateDir, undefined);
    const was = this.#sinceMs !== undefined;
    this.#sinceMs = undefined;
    this.#endsWith = undefined;
    this.#round += 1;
    this.#outcomes.clear();
    this.tellDataplane();
    if (was) this.#place.onChange(false, false);
    return this.progress();
  }

  progress(): DrainProgress {
    return {
      drained: this.#sinceMs !== undefined,
      since: this.#sinceMs === undefined ? null : new Date(this.#sinceMs).toISOString(),
      done: this.#running === undefined,
      vrs: [...this.#outcomes.values()],
    };
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#round += 1;
  }

  /** Whoever could not take over yesterday may do so today. */
  #reconsider(): void {
    if (this.#sinceMs === undefined || this.#running !== undefined || this.#held().length === 0) return;
    for (const vr of this.#held()) if (!this.#outcomes.has(vr)) this.#note(vr, 'waiting');
    this.#start(this.#round, false, 1);
  }

  #start(round: number, force: boolean, attempts = attemptsMax): void {
    const before = this.#running ?? Promise.resolve();
    const running = before
      .then(() => this.#run(round, force, attempts))
      .finally(() => {
        if (this.#running === running) this.#running = undefined;
      });
    this.#running = running;
  }

  async #run(round: number, force: boolean, attempts: number): Promise<void> {
    let left = this.#held();
    const refused = new Map<string, ReadonlySet<NodeId>>();
    for (let attempt = 1; attempt <= attempts && left.length > 0 && round === this.#round; attempt += 1) {
      if (attempt > 1) await pause(retryMs);
      const updating = attempt === 1 && this.#endsWith !== undefined;
      const again = await this.#handOverAll(round, left, updating, refused);
      // A claim that was on its way may have been granted meanwhile.
      left = this.#held().filter((vr) => again.has(vr) || !this.#outcomes.has(vr));
    }
    if (force && round === this.#round) await this.#force(round);
  }

  /** Those of which another try may be worth while. */
  async #handOverAll(
    round: number,
    routers: readonly string[],
    updating: boolean,
    refused: Map<string, ReadonlySet<NodeId>>,
  ): Promise<ReadonlySet<string>> {
    const again = new Set<string>();
    const queue = [...routers];
    const work = async (): Promise<void> => {
      for (let vr = queue.shift(); vr !== undefined && round === this.#round; vr = queue.shift()) {
        const passOver = refused.get(vr) ?? new Set();
        const outcome = await this.#place.handOver(vr, handoverMs, updating, passOver);
        if (round !== this.#round) return;
        if (outcome.kind === 'moved') this.#note(vr, 'handed_over', { to: outcome.to, tookMs: outcome.tookMs });
        else if (!this.#holds(vr)) this.#note(vr, 'released');
        else if (outcome.kind === 'failed') {
          this.#note(vr, 'kept', { why: outcome.why });
          if (outcome.mayPass) again.add(vr);
          if (outcome.by !== undefined) refused.set(vr, new Set([...passOver, outcome.by]));
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrencyMax, routers.length) }, work));
    return again;
  }

  async #force(round: number): Promise<void> {
    const kept = this.#held();
    if (kept.length === 0) return;
    this.#place.send({ type: 'drain', drained: true, force: true });
    const deadlineMs = this.#place.wallNow() + forceMs;
    while (this.#held().length > 0 && this.#place.wallNow() < deadlineMs && round === this.#round) await pause(lookMs);
    for (const vr of kept) {
      const why = this.#outcomes.get(vr)?.why ?? null;
      if (this.#holds(vr)) this.#note(vr, 'kept', { why: 'the dataplane has not released it in time' });
      else this.#note(vr, 'released', { why });
    }
  }

  #note(
    vr: string,
    outcome: DrainedRouter['outcome'],
    more: Partial<Omit<DrainedRouter, 'vr' | 'outcome'>> = {},
  ): void {
    this.#outcomes.set(vr, { to: null, tookMs: null, why: null, ...more, vr, outcome });
  }

  #held(): readonly string[] {
    return this.#place.routers().filter((vr) => this.#holds(vr));
  }

  #holds(vr: string): boolean {
    const state = this.#place.told(vr)?.state;
    return state === 'master' || state === 'draining' || state === 'candidate';
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
