import type { Logger } from 'pino';
import { macRefreshMs, nextAnnouncementMs } from '../attach/announcer.js';
import type { AttachmentGroup } from '../attach/attachment-group.js';
import type { VirtualRouterConfig } from '../config/config.js';
import { servingTimeoutMs, settleMs } from '../core/handover.js';
import { failpoints } from '../failpoint.js';
import type { DemuxedFrame } from '../wire/demux.js';
import type { LinkKeeper } from './link-keeper.js';
import type { ProtocolAdapter } from './protocol-adapter.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterPlaces } from './router-places.js';
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
  readonly machine: Pick<RouterMachine, 'phase'>;
  readonly running: {
    readonly config: VirtualRouterConfig;
    readonly adapter: Pick<ProtocolAdapter, 'farewellGoodMs'>;
  };
  readonly places: Pick<RouterPlaces, 'virtualMacs' | 'isSpread'>;
  readonly links: Pick<LinkKeeper, 'addresses'>;
  readonly counters: Pick<RouterCounters, 'announceFailed'>;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly now: () => number;
  readonly checkLoop: () => void;
  readonly log: Pick<Logger, 'error'>;
  /** The first frame was seen leaving. */
  readonly onSeen: () => void;
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

  /**
   * Announces now, and then on the schedule. `isHanded`: the former master lingers, and still answers whoever asks it; that
   * moves the virtual MAC back to its port, where nobody answers once it has let go. So it is shown again and again.
   */
  start(atMs: number, isHanded = false): void {
    this.#count = 0;
    this.#sinceMs = atMs;
    this.#seen = false;
    this.#at('seen', atMs + seenDeadlineMs, () => this.#notSeen());
    this.#announce();
    failpoints?.passed('claim.announced');
    this.#refreshMacs(atMs);
    this.#refreshFarewells(atMs);
    if (isHanded) this.#showWhileLingering(atMs);
  }

  /** Somebody has told clients something else: says what is true, at once, at a bounded rate. */
  again(atMs: number): void {
    if (!this.#serves) return;
    this.#at('later', atMs + againLaterMs, () => this.#sayAgain());
    const dueAtMs = this.#againAtMs + againEveryMs;
    if (atMs < dueAtMs) this.#at('again', dueAtMs, () => this.#sayAgain());
    else this.#sayAgain();
  }

  #sayAgain(): void {
    const { attachment, checkLoop, now } = this.#options;
    checkLoop();
    if (!this.#serves) return;
    this.#againAtMs = now();
    attachment.announce();
  }

  stop(): void {
    for (const what of ['announce', 'again', 'later', 'seen', 'fresh', 'farewell', 'linger'])
      this.#at(what, undefined, () => undefined);
    this.#seen = true;
  }

  /** This host has sent a frame: it may be the first one of these. */
  left(frame: DemuxedFrame): void {
    if (this.#seen || !this.#isOwn(frame)) return;
    this.#seen = true;
    this.#at('seen', undefined, () => undefined);
    this.#options.onSeen();
  }

  #isOwn(frame: DemuxedFrame): boolean {
    const { virtualMacs } = this.#options.places;
    const { addresses } = this.#options.links;
    if (frame.kind === 'arp') {
      return virtualMacs.has(frame.packet.senderMac) && addresses.includes(frame.packet.senderAddress);
    }
    if (frame.kind !== 'ndp' || frame.message.type !== 'advertisement') return false;
    return virtualMacs.has(frame.etherSource) && addresses.includes(frame.message.target);
  }

  #notSeen(): void {
    const { vr, counters, log } = this.#options;
    counters.announceFailed.add('not_seen');
    log.error({ vr }, 'the announcement was not seen leaving on the parent interface');
  }

  get #serves(): boolean {
    return this.#options.machine.phase === 'master';
  }

  #announce(): void {
    const { attachment, checkLoop } = this.#options;
    attachment.announce();
    this.#count += 1;
    this.#at('announce', nextAnnouncementMs(this.#sinceMs, this.#count), () => {
      checkLoop();
      if (this.#serves) this.#announce();
    });
  }

  /** Where adverts do not carry the virtual MAC, or come seldom, switches would forget where it is. */
  #refreshMacs(atMs: number): void {
    const { attachment, now } = this.#options;
    this.#at('fresh', this.#advertsCarryMac() ? undefined : atMs + macRefreshMs, () => {
      if (!this.#serves) return;
      attachment.refreshMacs();
      this.#refreshMacs(now());
    });
  }

  #advertsCarryMac(): boolean {
    const { running, places } = this.#options;
    return running.config.unicast === undefined && !places.isSpread && intervalMs(running.config) <= macRefreshMs;
  }

  /** The former master has let go: nobody else speaks from the virtual MAC any more. */
  lingeringEnded(): void {
    this.#at('linger', undefined, () => undefined);
  }

  #showWhileLingering(shownAtMs: number): void {
    const { attachment, now } = this.#options;
    if (shownAtMs - this.#sinceMs > lingerMs) return;
    this.#at('linger', shownAtMs + lingerRefreshMs, () => {
      if (!this.#serves) return;
      attachment.refreshMacs();
      this.#showWhileLingering(now());
    });
  }

  /** Signed farewells age: before those that the guard has are too old to be believed, it gets others. */
  #refreshFarewells(atMs: number): void {
    const { vr, attachment, machine, running, now, log } = this.#options;
    const goodMs = running.adapter.farewellGoodMs;
    this.#at('farewell', goodMs === undefined ? undefined : atMs + goodMs * farewellRefreshShare, () => {
      if (machine.phase !== 'master' && machine.phase !== 'handing') return;
      attachment
        .registerAgain()
        .catch((error: unknown) => log.error({ vr, err: error }, 'the guard has no fresh farewells'));
      this.#refreshFarewells(now());
    });
  }

  #at(what: string, dueAtMs: number | undefined, act: () => void): void {
    this.#options.scheduler.set(`${what} ${this.#options.vr}`, dueAtMs, act);
  }
}

const intervalMs = (config: VirtualRouterConfig): number =>
  config.protocol === 'carp' ? config.advbase * 1000 + (config.advskew * 1000) / 256 : config.advertIntervalMs;
