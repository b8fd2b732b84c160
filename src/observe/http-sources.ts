import type { Status, TimelineEntry, Verdict } from './status.js';

/** Which part of the log is asked for. */
export interface TimelineQuery {
  /** Only this virtual router. */
  readonly vr: string | undefined;
  /** Only events from this time on, Unix milliseconds. */
  readonly sinceMs: number | undefined;
  /** At most this many of what is already there, the newest ones, in order. */
  readonly limit: number;
}

export interface TimelineAnswer {
  readonly entries: readonly TimelineEntry[];
  /** What may be missing, and why; for people. */
  readonly notice?: string;
}

/** Everything the HTTP server shows comes from here. Each answers from memory; a slow one is given up. */
export interface HttpSources {
  /** Prometheus text format 0.0.4. */
  metricsText(): string | Promise<string>;
  health(): Verdict | Promise<Verdict>;
  ready(): Verdict | Promise<Verdict>;
  status(): Status | Promise<Status>;
  timeline(query: TimelineQuery): Promise<TimelineAnswer>;
  /** The same, and then what happens, until `signal` is aborted: nobody reads any more. */
  followTimeline(query: TimelineQuery, signal: AbortSignal): AsyncGenerator<TimelineEntry>;
}

/** A request that changes something; only the control socket has them. Throws KoiError for a refusal. */
export type ControlAction = (body: unknown) => Promise<unknown>;

/** Control actions by path, `/api/v1/handover`. */
export type ControlActions = Readonly<Record<string, ControlAction>>;
