import type { Logger } from 'pino';
import type { ObservationPayload } from '../log/event.js';
import type { LogStatus } from '../log/port.js';

export interface LogOutagesOptions {
  readonly servers: () => readonly string[];
  readonly observe: (payload: ObservationPayload) => void;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/** Tells when the event log comes and goes: people at once, the event log itself when it is back. */
export class LogOutages {
  readonly #options: LogOutagesOptions;
  #lostAtMs: number | undefined;
  #isStopped = false;

  constructor(options: LogOutagesOptions) {
    this.#options = options;
  }

  moved(from: LogStatus['state'], { state: to, problem, server }: LogStatus): void {
    const { servers, observe, log, now } = this.#options;
    if (to === 'connected') {
      log.info({ server }, 'the event log can be reached');
      if (this.#lostAtMs === undefined) return;
      observe({ type: 'logRejoined', outageMs: now() - this.#lostAtMs });
      this.#lostAtMs = undefined;
      return;
    }
    if (to === 'stopped') return;
    const remedy = 'koi runs on as onLogLoss says; see that a NATS server answers at log.servers';
    const report = { from, to, problem, servers: servers(), remedy };
    if (to === 'unfit') log.error(report, 'the event log cannot keep the promises');
    else log.warn(report, 'the event log cannot be reached');
    if (from !== 'connected' || this.#isStopped) return;
    this.#lostAtMs = now();
    observe({ type: 'logLost', reason: problem ?? to });
  }

  /** What this node leaves by itself it has not lost. */
  stop(): void {
    this.#isStopped = true;
  }
}
