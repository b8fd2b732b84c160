import { advertsAgainAt, elseDueAtMs, isLeftToItself, isSteadyTick, tickSteadily } from '../core/steady.js';
import { dueAtMs } from '../core/vr-machine.js';
import type { AdvertHearing } from './advert-hearing.js';
import type { AdvertSender } from './advert-sender.js';
import type { RouterMachine } from './router-machine.js';
import type { Scheduler, Wake } from './scheduler.js';

export interface SteadyTimerOptions {
  readonly vr: string;
  readonly machine: Pick<RouterMachine, 'vr' | 'phase' | 'own'>;
  readonly sender: Pick<AdvertSender, 'repeat' | 'leaveToPump' | 'takeFromPump' | 'forgetFrames'>;
  readonly hearing: Pick<AdvertHearing, 'isOnlyCounted' | 'forget'>;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly now: () => number;
  readonly onLateness: (lateMs: number) => void;
  /** The machine's time has come. */
  readonly onTick: Wake;
}

/**
 * When one virtual router wakes by itself. In the steady state it does not: its adverts are left to the sending thread, or
 * those that it hears are only counted, until anything else happens.
 */
export class SteadyTimer {
  readonly #options: SteadyTimerOptions;
  readonly #name: string;

  constructor(options: SteadyTimerOptions) {
    this.#options = options;
    this.#name = `vr ${options.vr}`;
  }

  /** Until the machine has something to do, or for ever where others do it meanwhile. */
  sleep(): void {
    this.#takeFromPump();
    this.#wakeAt(this.#wakesAtMs());
  }

  /** Something else happens: nothing is left to anybody any more. */
  stir(): void {
    const { hearing, sender } = this.#options;
    this.#takeFromPump();
    hearing.forget();
    sender.forgetFrames();
  }

  /** What it waited for has come: it ticks as soon as the loop goes round. */
  lookAgain(): void {
    this.#wakeAt(this.#options.now());
  }

  /** For good. */
  stop(): void {
    this.#takeFromPump();
    this.#options.hearing.forget();
    this.#wakeAt(undefined);
  }

  #wakeAt(atMs: number | undefined): void {
    this.#options.scheduler.set(this.#name, atMs, this.#options.onTick, this.#onQuickTick);
  }

  #wakesAtMs(): number | undefined {
    const { machine, sender, hearing } = this.#options;
    const { vr } = machine;
    if (isLeftToItself(vr) && sender.leaveToPump(vr, vr.phase.advertAtMs)) return elseDueAtMs(vr.phase);
    return hearing.isOnlyCounted ? undefined : dueAtMs(vr);
  }

  /** Before anything is read: the same advert once more. */
  readonly #onQuickTick = (atMs: number, lateMs: number): boolean => {
    const { machine, sender, onLateness } = this.#options;
    const { vr } = machine;
    if (!isSteadyTick(vr, atMs) || !sender.repeat(vr, atMs)) return false;
    onLateness(lateMs);
    tickSteadily(machine.own(), atMs);
    this.sleep();
    return true;
  };

  #takeFromPump(): void {
    const { machine, sender } = this.#options;
    const nextAtMs = sender.takeFromPump();
    if (nextAtMs !== undefined && machine.phase === 'master') advertsAgainAt(machine.own(), nextAtMs);
  }
}
