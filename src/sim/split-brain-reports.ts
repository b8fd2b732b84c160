import { clockDriftMax } from '../core/lease.js';
import type { ObservationEvent } from '../log/event.js';

/*
 * Who held beside whom, and what the log was told of it. Two that held at once for longer than `toldFromMs` have to be in
 * the log as an episode of one of them; and no episode may tell of two of which one had let go before the other began.
 */

/** From this long on, both awake and outside an agreed handover, two that held at once are told of. */
export const toldFromMs = 100;
/** An advert may be late by this; what the log told is exact to this. */
const adverts = { lateMs: 1000 } as const;
const logged = { inexactMs: 50 } as const;
/** Whoever dies takes with it what it had not written yet. */
const writesWithinMs = 1000;
/** Whoever wakes first notices that it has stood still. */
const wakesWithinMs = 100;
/** From one thing that binds a clock to the next, while all is well. */
const bindsWithinMs = 1000;
/** A clock that stood still is bound to the log's anew by what its node reads and tells afterwards. */
const blurredForMs = 15_000;

/** Why nobody could know. */
export type Excuse =
  /** The log has lost what it had acknowledged, and with it when somebody began or ended. */
  | 'log_lost'
  /** A node died with what it alone knew: nobody can say until when it held. */
  | 'died'
  /** A node stood still when it ended: nobody can say until when it held. */
  | 'stood_still'
  /** The log was out of reach for so long that clocks of any pace say no more than that they may have held at once. */
  | 'unbound';

export interface PastDouble {
  readonly vr: string;
  readonly pair: readonly [number, number];
  readonly sinceMs: number;
  readonly endMs: number;
  /** Both awake, and in no agreed handover. */
  readonly countedMs: number;
}

interface Held {
  readonly sinceMs: number;
  untilMs: number;
}

interface Heard {
  readonly node: number;
  readonly vr: string;
  readonly monotonicMs: number;
  readonly fromMs: number;
  toMs: number;
}

interface Told {
  readonly vr: string;
  readonly node: number;
  readonly rival: number | undefined;
  readonly source: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Where a detector tells, until it tells no more. */
  readonly heard?: Heard;
}

const never = Number.POSITIVE_INFINITY;

export class SplitBrainReports {
  readonly #indexOf: (idOrAddress: string) => number | undefined;
  /** By virtual router and node, whether awake or not. */
  readonly #held = new Map<string, Held[]>();
  /** Adverts of another that a node heard while it served, by its own clock. */
  readonly #heard: Heard[] = [];
  readonly #told: Told[] = [];
  readonly #resets: number[] = [];
  readonly #deaths: { readonly node: number; readonly atMs: number }[] = [];
  readonly #deaf: { readonly node: number; readonly fromMs: number; untilMs: number }[] = [];
  readonly #left: { readonly node: number; readonly atMs: number }[] = [];
  readonly #clockStops: { readonly node: number; readonly atMs: number }[] = [];
  readonly #fenced: { readonly node: number; readonly atMs: number }[] = [];
  readonly #stood: { readonly node: number; readonly fromMs: number; untilMs: number }[] = [];

  constructor(indexOf: (idOrAddress: string) => number | undefined) {
    this.#indexOf = indexOf;
  }

  /** The kernel of a node has the addresses, or not: told again and again. */
  holds(vr: string, node: number, isHeld: boolean, atMs: number): void {
    const key = `${vr} ${node}`;
    const all = this.#held.get(key) ?? [];
    const last = all.at(-1);
    if (isHeld && last?.untilMs !== never) {
      all.push({ sinceMs: atMs, untilMs: never });
      this.#held.set(key, all);
    } else if (!isHeld && last?.untilMs === never) last.untilMs = atMs;
  }

  heard(node: number, vr: string, monotonicMs: number, atMs: number): void {
    this.#heard.push({ node, vr, monotonicMs, fromMs: atMs, toMs: never });
  }

  heardNoMore(node: number, vr: string, atMs: number): void {
    const last = this.#heard.findLast((each) => each.node === node && each.vr === vr);
    if (last !== undefined) last.toMs = Math.min(last.toMs, atMs);
  }

  logReset(atMs: number): void {
    this.#resets.push(atMs);
  }

  /** What this node alone knew is lost. */
  died(node: number, atMs: number): void {
    this.#deaths.push({ node, atMs });
  }

  /** Its agent ends: what it would have read after that, it tells nobody. */
  agentEnded(node: number, atMs: number): void {
    this.#left.push({ node, atMs });
  }

  /** Its dataplane runs, or stands still: told again and again. */
  runs(node: number, isRunning: boolean, atMs: number): void {
    const last = this.#stood.findLast((each) => each.node === node);
    if (!isRunning && last?.untilMs !== never) this.#stood.push({ node, fromMs: atMs, untilMs: never });
    else if (isRunning && last?.untilMs === never) last.untilMs = atMs;
  }

  /** It lets go since it may have stood still. */
  fenced(node: number, atMs: number): void {
    this.#fenced.push({ node, atMs });
  }

  clockStopped(node: number, atMs: number): void {
    this.#clockStops.push({ node, atMs });
  }

  /** What a node reads of the log binds its clock, or nothing does: told again and again. */
  hearsLog(node: number, isHearing: boolean, atMs: number): void {
    const last = this.#deaf.findLast((each) => each.node === node);
    if (!isHearing && last?.untilMs !== never) this.#deaf.push({ node, fromMs: atMs, untilMs: never });
    else if (isHearing && last?.untilMs === never) last.untilMs = atMs;
  }

  /** An event that the log has. */
  stored({ node: id, vr, payload, monotonicMs }: ObservationEvent): void {
    const node = this.#indexOf(id);
    if (payload.type !== 'episodeBegan' || payload.kind !== 'split_brain' || vr === undefined || node === undefined) {
      return;
    }
    const said = new Map(payload.evidence.map(({ key, value }) => [key, value]));
    const rival = this.#indexOf(payload.subject ?? '');
    const source = said.get('source') ?? '';
    if (source === 'advert') {
      // In the log times are whole nanoseconds.
      const heard = this.#heard.find(
        (each) => each.node === node && each.vr === vr && Math.abs(each.monotonicMs - monotonicMs) < 1e-3,
      );
      if (heard !== undefined) this.#told.push({ rival, source, heard, ...heard });
      return;
    }
    const fromMs = Date.parse(said.get('from') ?? '');
    const toMs = fromMs + 1000 * Number.parseFloat(said.get('together') ?? '');
    this.#told.push({ vr, node, rival, source, fromMs, toMs });
  }

  /** Two that held at once and of whom nobody told, although somebody could have known. */
  untold(pasts: readonly PastDouble[]): PastDouble | undefined {
    return pasts.find((past) => past.countedMs > toldFromMs && !this.isTold(past) && this.excuse(past) === undefined);
  }

  /** How many were told, and how many not, for which reason. */
  count(pasts: readonly PastDouble[]): { readonly told: number; readonly excused: number } {
    const due = pasts.filter(({ countedMs }) => countedMs > toldFromMs);
    const told = due.filter((past) => this.isTold(past)).length;
    return { told, excused: due.length - told };
  }

  /** An episode of two of which one had let go before the other began. */
  falseAlarm(): string | undefined {
    const told = this.#told.find((each) => !this.#isTrue(each));
    if (told === undefined) return undefined;
    const { vr, node, rival, source, fromMs } = told;
    const { toMs } = told.heard ?? told;
    const from = `from ${Math.round(fromMs)} ms on, for ${Math.round(toMs - fromMs)} ms`;
    return `n${node + 1} told (${source}) of n${(rival ?? 0) + 1} beside it on ${vr} ${from}, and the two did not hold at once`;
  }

  isTold({ vr, pair, sinceMs, endMs }: PastDouble): boolean {
    return this.#told.some((told) => {
      if (told.vr !== vr || told.rival === undefined) return false;
      if (!pair.includes(told.node) || !pair.includes(told.rival)) return false;
      const lateMs = told.source === 'advert' ? adverts.lateMs : logged.inexactMs;
      return told.fromMs <= endMs + lateMs && (told.heard ?? told).toMs >= sinceMs - logged.inexactMs;
    });
  }

  excuse({ vr, pair, sinceMs, endMs, countedMs }: PastDouble): Excuse | undefined {
    const beganMs = Math.min(...pair.map((node) => this.#heldAt(vr, node, sinceMs)?.sinceMs ?? sinceMs));
    if (this.#resets.some((atMs) => atMs >= beganMs - writesWithinMs)) return 'log_lost';
    if (this.#deaths.some(({ node, atMs }) => pair.includes(node) && atMs >= sinceMs)) return 'died';
    const left = this.#left.some(
      ({ node, atMs }) => pair.includes(node) && atMs >= sinceMs && atMs <= endMs + writesWithinMs,
    );
    if (left) return 'died';
    const stood = this.#stood.some(
      ({ node, fromMs, untilMs }) => pair.includes(node) && fromMs <= endMs && untilMs >= endMs - wakesWithinMs,
    );
    const isBlurred = this.#clockStops.some(
      ({ node, atMs }) => pair.includes(node) && atMs >= sinceMs - blurredForMs && atMs <= endMs + blurredForMs,
    );
    if (stood || isBlurred || pair.some((node) => this.#wasFenced(vr, node, sinceMs))) return 'stood_still';
    const deafMs = this.#deaf.map(({ node, fromMs, untilMs }) =>
      pair.includes(node) && fromMs <= endMs && untilMs >= sinceMs - bindsWithinMs
        ? untilMs - fromMs + bindsWithinMs
        : 0,
    );
    const unsureMs = 2 * clockDriftMax * deafMs.reduce((sum, each) => sum + each, 0);
    return countedMs <= toldFromMs + unsureMs ? 'unbound' : undefined;
  }

  /** What a node held since then it let go since it may have stood still. */
  #wasFenced(vr: string, node: number, sinceMs: number): boolean {
    const held = this.#heldAt(vr, node, sinceMs);
    return this.#fenced.some(
      (fenced) => fenced.node === node && held !== undefined && Math.abs(fenced.atMs - held.untilMs) <= wakesWithinMs,
    );
  }

  #isTrue({ vr, node, rival, source, fromMs, ...told }: Told): boolean {
    if (rival === undefined) return true;
    const { toMs } = told.heard ?? told;
    const lateMs = source === 'advert' ? adverts.lateMs : logged.inexactMs;
    const overlaps = this.#heldOf(vr, node).some((own) =>
      this.#heldOf(vr, rival).some((other) => {
        const from = Math.max(own.sinceMs, other.sinceMs, fromMs - lateMs);
        return from <= Math.min(own.untilMs, other.untilMs, toMs) + lateMs;
      }),
    );
    // What the log has lost, and what passed while a clock stood still, nobody can know.
    return overlaps || this.#isBlurred(node, fromMs) || this.#isBlurred(rival, fromMs);
  }

  #isBlurred(node: number, fromMs: number): boolean {
    const stopped = this.#clockStops.some((each) => each.node === node && each.atMs >= fromMs - blurredForMs);
    return this.#resets.length > 0 || stopped;
  }

  #heldAt(vr: string, node: number, atMs: number): Held | undefined {
    return this.#heldOf(vr, node).find((each) => each.sinceMs <= atMs && each.untilMs > atMs);
  }

  #heldOf(vr: string, node: number): readonly Held[] {
    return this.#held.get(`${vr} ${node}`) ?? [];
  }
}
