import { macRefreshMs, nextAnnouncementMs } from '../attach/announcer.js';
import type { AttachmentGroup } from '../attach/attachment-group.js';
import { servingTimeoutMs, settleMs } from '../core/handover.js';
import { failpoints } from '../failpoint.js';
import type { Scheduler } from './scheduler.js';

/** An announcement that has not been seen leaving by then has failed. */
const seenDeadlineMs = 1000;
/** Announcements against a wrong MAC: at most so often … */
const againEveryMs = 200;
/** … and once more after the last, for hosts that have just learnt the wrong one and take another only later. */
const againLaterMs = 1100;
/** Of the time that a signed farewell is good for: the rest is for the guard to take the next one in. */
const farewellRefreshShare = 0.8;

/** A former master that lingers in a handover gives it up after this long. */
const lingerMs = servingTimeoutMs;
/**
 * While it lingers, the virtual MAC is shown so often: several times while the former master, hushed, lets go, and no oftener,
 * since each is a broadcast, which every virtual-MAC link of the other node takes in.
 */
const lingerRefreshMs = settleMs / 5;

export interface AnnouncementsOptions {
  readonly vr: string;
  readonly attachment: AttachmentGroup;
  readonly scheduler: Scheduler;
  readonly now: () => number;
  readonly checkLoop: () => void;
  /** This node still is the master. */
  readonly serves: () => boolean;
  /** This node still holds the addresses, as the master or lingering in a handover. */
  readonly holds: () => boolean;
  /** Adverts show the switches the virtual MAC often enough. */
  readonly advertsCarryMac: () => boolean;
  /** How long a prepared farewell is good for; undefined for ever. */
  readonly farewellGoodMs: () => number | undefined;
  readonly onSeen: () => void;
  readonly onNotSeen: () => void;
  readonly onStaleFarewell: (error: unknown) => void;
}

/** What a master repeats: announcements, frames that show the switches the virtual MAC, and the guard's farewells. */
export class Announcements {
  readonly #options: AnnouncementsOptions;
  #count = 0;
  #sinceMs = 0;
  #seen = true;
  #againAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
  }

  /** The first frame has not been seen leaving yet. */
  get awaited(): boolean {
    return !this.#seen;
  }

  /**
   * Announces now, and then on the schedule. `isHanded`: the former master lingers, and still answers whoever asks it; that
   * moves the virtual MAC back to its port, where nobody answers once it has let go. So it is shown again and again.
   */
  start(atMs: number, isHanded = false): void {
    this.#count = 0;
    this.#sinceMs = atMs;
    this.#seen = false;
    this.#at('seen', atMs + seenDeadlineMs, this.#options.onNotSeen);
    this.#announce();
    failpoints?.passed('claim.announced');
    this.#refreshMacs(atMs);
    this.#refreshFarewells(atMs);
    if (isHanded) this.#showWhileLingering(atMs);
  }

  /** Somebody has told clients something else: says what is true, at once, at a bounded rate. */
  again(atMs: number): void {
    if (!this.#options.serves()) return;
    this.#at('later', atMs + againLaterMs, () => this.#sayAgain());
    const dueAtMs = this.#againAtMs + againEveryMs;
    if (atMs < dueAtMs) this.#at('again', dueAtMs, () => this.#sayAgain());
    else this.#sayAgain();
  }

  #sayAgain(): void {
    const { attachment, checkLoop, serves, now } = this.#options;
    checkLoop();
    if (!serves()) return;
    this.#againAtMs = now();
    attachment.announce();
  }

  stop(): void {
    for (const what of ['announce', 'again', 'later', 'seen', 'fresh', 'farewell', 'linger'])
      this.#at(what, undefined, () => undefined);
    this.#seen = true;
  }

  /** One of the announcements was seen leaving on the parent. */
  sawLeave(): void {
    if (this.#seen) return;
    this.#seen = true;
    this.#at('seen', undefined, () => undefined);
    this.#options.onSeen();
  }

  #announce(): void {
    const { attachment, checkLoop, serves } = this.#options;
    attachment.announce();
    this.#count += 1;
    this.#at('announce', nextAnnouncementMs(this.#sinceMs, this.#count), () => {
      checkLoop();
      if (serves()) this.#announce();
    });
  }

  /** Where adverts do not carry the virtual MAC, or come seldom, switches would forget where it is. */
  #refreshMacs(atMs: number): void {
    const { attachment, advertsCarryMac, serves, now } = this.#options;
    this.#at('fresh', advertsCarryMac() ? undefined : atMs + macRefreshMs, () => {
      if (!serves()) return;
      attachment.refreshMacs();
      this.#refreshMacs(now());
    });
  }

  /** The former master has let go: nobody else speaks from the virtual MAC any more. */
  lingeringEnded(): void {
    this.#at('linger', undefined, () => undefined);
  }

  #showWhileLingering(shownAtMs: number): void {
    const { attachment, serves, now } = this.#options;
    if (shownAtMs - this.#sinceMs > lingerMs) return;
    this.#at('linger', shownAtMs + lingerRefreshMs, () => {
      if (!serves()) return;
      attachment.refreshMacs();
      this.#showWhileLingering(now());
    });
  }

  /** Signed farewells age: before those that the guard has are too old to be believed, it gets others. */
  #refreshFarewells(atMs: number): void {
    const { attachment, farewellGoodMs, holds, now, onStaleFarewell } = this.#options;
    const goodMs = farewellGoodMs();
    this.#at('farewell', goodMs === undefined ? undefined : atMs + goodMs * farewellRefreshShare, () => {
      if (!holds()) return;
      attachment.registerAgain().catch(onStaleFarewell);
      this.#refreshFarewells(now());
    });
  }

  #at(what: string, dueAtMs: number | undefined, act: () => void): void {
    this.#options.scheduler.set(`${what} ${this.#options.vr}`, dueAtMs, act);
  }
}
