import { type BootId, type NodeId, term } from '../core/identity.js';
import type { Ownership } from '../core/ownership.js';
import type { KeptMessage } from '../ipc/protocol.js';
import type { LogRead, ObservationEvent, ObservationPayload } from '../log/event.js';
import { type LogTimers, realTimers } from '../log/timers.js';

/** How long what was seen waits before it goes to the log: at a takeover the log's disk belongs to the claim. */
export const recordAfterMs = 100;
/** While many take over it waits so often once more. */
const givesWayMost = 9;

/** What the dataplane tells and the log only records. */
export type Observed = Exclude<KeptMessage, { type: 'released' }>;

export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface JournalOptions {
  readonly cluster: string;
  readonly node: NodeId;
  readonly boot: () => BootId;
  /** The newest ownership of a virtual router: what an observation of the same term was caused by. */
  readonly ownership: (vr: string) => Ownership | undefined;
  readonly newEventId: () => string;
  readonly clock: () => Moment;
  /** What this node has read of the log, which binds its clock to the log's. */
  readonly logRead?: () => LogRead | undefined;
  readonly add: (event: ObservationEvent) => void;
  /** The dataplane need not keep this message any longer. */
  readonly onTaken: (number: number) => void;
  /** The log is wanted by claims and releases now, which others wait for. Default: never. */
  readonly isWanted?: () => boolean;
  readonly timers?: LogTimers;
}

/** Turns what happened on this node into events of the log. */
export class Journal {
  readonly #options: JournalOptions;
  readonly #waiting: (() => void)[] = [];
  #callOff: (() => void) | undefined;
  /** What waits longest has given way so often. */
  #gaveWay = 0;
  #isAwaited = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /**
   * Records what the dataplane told, after a moment. Until it is taken the dataplane keeps it, and it carries the time at
   * which it happened.
   */
  record(message: Observed): void {
    // Whoever stops waits until it is taken.
    this.#isAwaited ||= message.type === 'transition' && message.to === 'init';
    this.#later(() => {
      this.#write(message);
      this.#options.onTaken(message.number);
    });
  }

  /** Records what the agent itself saw just now, after a moment. */
  observeLater(payload: ObservationPayload): void {
    const event = this.event(payload);
    this.#later(() => this.#options.add(event));
  }

  #later(write: () => void): void {
    this.#waiting.push(write);
    this.#flushSoon();
  }

  #flushSoon(): void {
    const { timers = realTimers, isWanted = () => false } = this.#options;
    this.#callOff ??= timers.after(recordAfterMs, () => {
      this.#callOff = undefined;
      const givesWay = !this.#isAwaited && this.#gaveWay < givesWayMost && isWanted();
      this.#gaveWay = givesWay ? this.#gaveWay + 1 : 0;
      if (givesWay) this.#flushSoon();
      else this.flush();
    });
  }

  /** Whether something waits to be recorded. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Records, now, what waits. */
  flush(): void {
    this.#callOff?.();
    this.#callOff = undefined;
    this.#gaveWay = 0;
    this.#isAwaited = false;
    for (const write of this.#waiting.splice(0)) write();
  }

  /** Records what the agent itself saw, or what `at` and `about` say. */
  observe(
    payload: ObservationPayload,
    at?: Moment,
    about: { readonly vr?: string; readonly term?: number } = {},
  ): void {
    this.#options.add(this.event(payload, at, about));
  }

  event(
    payload: ObservationPayload,
    at: Moment = this.#options.clock(),
    about: { readonly vr?: string; readonly term?: number } = {},
  ): ObservationEvent {
    const { cluster, node, boot, ownership, newEventId, logRead } = this.#options;
    const read = logRead?.();
    const cause = about.vr === undefined ? undefined : ownership(about.vr);
    return {
      id: newEventId(),
      cluster,
      node,
      boot: boot(),
      wallTimeMs: at.wallMs,
      monotonicMs: at.monotonicMs,
      ...(cause !== undefined && cause.term === about.term ? { causeId: cause.claim } : {}),
      ...(about.vr === undefined ? {} : { vr: about.vr }),
      ...(about.term === undefined ? {} : { term: term(about.term) }),
      ...(read === undefined ? {} : { logRead: read }),
      payload,
    };
  }

  #write(message: Observed): void {
    switch (message.type) {
      case 'transition': {
        const { vr, from, to, reason } = message;
        this.observe({ type: 'transition', from, to, reason }, message, { vr, term: message.term });
        if (to === 'master' && message.standing === 'provisional') {
          this.observe({ type: 'provisionalTakeover', reason }, message, { vr, term: message.term });
        }
        return;
      }
      case 'masterActive': {
        const { vr, steps, phases } = message;
        this.observe({ type: 'masterActive', steps, ...phases }, message, { vr, term: message.term });
        return;
      }
      case 'repaired':
        this.observe({ type: 'linkRepaired', kind: message.kind, object: message.object }, message, { vr: message.vr });
        return;
      case 'advertPath': {
        const { vr, peer, lost } = message;
        const evidence = [{ key: 'peer', value: peer }];
        const kind = 'advert_path_lost';
        const { durationMs } = message;
        if (lost) this.observe({ type: 'episodeBegan', kind, subject: peer, evidence }, message, { vr });
        else this.observe({ type: 'episodeEnded', kind, subject: peer, durationMs, reason: peer }, message, { vr });
        return;
      }
      case 'splitBrain': {
        const { vr, rival, began, durationMs } = message;
        const kind = 'split_brain';
        const evidence = [
          { key: 'source', value: 'advert' },
          { key: 'rival', value: rival },
          ...(message.evidence ?? []),
        ];
        const subject = rival;
        if (began) this.observe({ type: 'episodeBegan', kind, subject, evidence }, message, { vr });
        else this.observe({ type: 'episodeEnded', kind, subject, durationMs, reason: rival }, message, { vr });
        return;
      }
      case 'episode': {
        const { kind, subject, evidence, vr } = message.episode;
        const about = vr === null ? {} : { vr };
        if (message.ended === null) {
          this.observe({ type: 'episodeBegan', kind, subject, evidence }, message, about);
        } else {
          const { durationMs, sightings, reason } = message.ended;
          this.observe({ type: 'episodeEnded', kind, subject, durationMs, sightings, reason }, message, about);
        }
        return;
      }
      case 'fenced':
        this.observe(
          { type: 'fenced', reason: message.reason },
          message,
          message.vr === null ? {} : { vr: message.vr },
        );
        return;
    }
  }
}
