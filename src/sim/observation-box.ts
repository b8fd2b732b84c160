import type { ObservationEvent } from '../log/event.js';
import type { EventLog } from '../log/port.js';
import type { VirtualTime } from './virtual-time.js';

const appendDeadlineMs = 2000;
const retryMs = [100, 2000] as const;

/** The outbox without its file: it survives the agent, keeps the order, and repeats until the log has it. */
export class ObservationBox {
  readonly #time: VirtualTime;
  readonly #entries: ObservationEvent[] = [];
  #log: EventLog | undefined;
  #reachable: () => boolean = () => false;
  #sending = false;
  #waitMs: number = retryMs[0];

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get pending(): number {
    return this.#entries.length;
  }

  add(event: ObservationEvent): void {
    this.#entries.push(event);
    void this.#send();
  }

  /** An agent begins to send, or the last one is gone. */
  attach(log: EventLog | undefined, reachable: () => boolean): void {
    this.#log = log;
    this.#reachable = reachable;
    this.#sending = false;
    this.wake();
  }

  wake(): void {
    void this.#send();
  }

  async #send(): Promise<void> {
    const log = this.#log;
    if (this.#sending || log === undefined) return;
    this.#sending = true;
    this.#time.stir();
    for (let head = this.#entries[0]; head !== undefined && this.#reachable(); head = this.#entries[0]) {
      const result = await log.append(head, { deadlineMs: appendDeadlineMs });
      if (log !== this.#log) return;
      if (result.kind !== 'stored') {
        this.#time.after(this.#waitMs, () => this.wake());
        this.#waitMs = Math.min(retryMs[1], this.#waitMs * 2);
        break;
      }
      this.#waitMs = retryMs[0];
      this.#entries.shift();
    }
    this.#sending = false;
  }
}
