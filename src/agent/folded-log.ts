import type { EventLog, Follower, LogGap, LogStatus, StoredEvent } from '../log/port.js';
import { emptyLogState, fold, type LogState, rewind } from '../log/projection.js';
import type { LogNames } from '../log/subjects.js';
import type { RecentEvents } from './recent-events.js';

export interface LogChange {
  readonly before: LogStatus;
  readonly now: LogStatus;
  /** It can be reached now, or no longer, or something keeps it from being reached at all. */
  readonly hasMoved: boolean;
}

export interface FoldedLogOptions {
  readonly log: Pick<EventLog, 'follow' | 'watch'>;
  readonly names: LogNames;
  readonly recent: RecentEvents;
  /** It is folded. `isNews`: all that was in the log before it had been read. */
  readonly onEvent: (stored: StoredEvent, isNews: boolean) => void;
  readonly onCaughtUp: () => void;
  /** The log is not the one that was read before. */
  readonly onGap: (gap: LogGap) => void;
  /** All of it is read again, from its beginning. */
  readonly onForgotten: () => void;
  readonly onChange: (change: LogChange) => void;
}

/** The event log as this agent has read and folded it, and how the way to it stands. */
export class FoldedLog {
  readonly #options: FoldedLogOptions;
  #state: LogState = emptyLogState;
  #status: LogStatus = { state: 'connecting', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };
  #isCaughtUp = false;
  #follower: Follower | undefined;

  constructor(options: FoldedLogOptions) {
    this.#options = options;
  }

  get state(): LogState {
    return this.#state;
  }

  get status(): LogStatus {
    return this.#status;
  }

  /** The log answers, and all of it has been read. */
  get reachable(): boolean {
    return this.#status.state === 'connected' && this.#isCaughtUp && !this.#status.lagging;
  }

  /** Why it cannot be relied on, for people; undefined where it can. */
  get trouble(): string | undefined {
    const { problem, state } = this.#status;
    if (this.reachable) return undefined;
    return problem ?? (state === 'connected' ? 'it is being read, or silent' : state);
  }

  start(): void {
    const { log, names, recent, onEvent, onCaughtUp, onGap, onForgotten } = this.#options;
    log.watch((status) => this.#changed(status));
    this.#follower = log.follow({
      from: 1,
      onEvent: (stored) => {
        recent.add(stored);
        this.#state = fold(this.#state, names, stored);
        onEvent(stored, this.#isCaughtUp);
      },
      onCaughtUp: () => {
        this.#isCaughtUp = true;
        recent.caughtUp();
        onCaughtUp();
      },
      onGap: (gap) => {
        onGap(gap);
        if (gap.kind === 'missing') return;
        this.#isCaughtUp = false;
        recent.forget();
        this.#state = rewind(this.#state);
        onForgotten();
      },
    });
  }

  stop(): void {
    this.#follower?.stop();
  }

  #changed(now: LogStatus): void {
    const before = this.#status;
    this.#status = now;
    // Before the first connection the state stays `connecting`; what keeps it there is told all the same.
    const isNewProblem = now.problem !== undefined && before.problem === undefined;
    const hasMoved = now.state !== before.state || isNewProblem;
    if (hasMoved && now.state !== 'connected') this.#isCaughtUp = false;
    this.#options.onChange({ before, now, hasMoved });
  }
}
