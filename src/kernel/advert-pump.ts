import { binding, kernelError } from './binding.js';
import { type ErrnoName, errnoName } from './errno.js';
import type { PacketSocket } from './packet.js';

/** How frames are sent again and again; milliseconds of the monotonic clock. */
export interface Repetition {
  readonly frames: readonly Uint8Array[];
  /** So many adverts the frames of one round are: in two forms of checksum it still is one. */
  readonly families: number;
  readonly intervalMs: number;
  /** The longest silence that peers bear: after it nothing is sent any more. */
  readonly patienceMs: number;
  readonly dueAtMs: number;
  readonly sentAtMs: number;
}

/** What became of it since it was asked for last. */
export interface Repeated {
  readonly adverts: number;
  readonly dueAtMs: number;
  readonly sentAtMs: number;
  /**
   * Why nothing is sent any more: it was silent for longer than peers bear; or the event loop was away for too long, or its
   * socket is closed.
   */
  readonly lapsed: 'silent' | 'unattended' | undefined;
}

const lapses = [undefined, 'unattended', 'silent'] as const;

/**
 * Sends what stays the same, by a thread of its own: no advert waits for the event loop. The loop has to say again and
 * again that it is alive, since a master that nobody attends to must fall silent.
 */
export class AdvertPump {
  readonly #bounds: number;
  readonly #free: number[] = [];
  readonly #out = new Float64Array(4);
  readonly #times = new Float64Array(4);
  #slots = 0;

  /** @throws KoiError `kernel` */
  constructor(latenessBoundsSeconds: readonly number[]) {
    this.#bounds = latenessBoundsSeconds.length;
    const result = binding().pumpStart(Float64Array.from(latenessBoundsSeconds, (seconds) => seconds * 1000));
    if (result < 0) throw kernelError('the thread that sends adverts', result);
  }

  /** Gives the thread a real-time priority (SCHED_FIFO), 1 to 99; 0: none. @returns why not */
  prioritize(priority: number): ErrnoName | undefined {
    const result = binding().pumpPrioritize(priority);
    return result < 0 ? errnoName(result) : undefined;
  }

  /** @returns what {@link read} and {@link end} know it by; undefined where it cannot be, and the caller goes on itself */
  begin(socket: PacketSocket, { frames, families, ...times }: Repetition): number | undefined {
    const slot = this.#free.pop() ?? this.#slots++;
    this.#times.set([times.intervalMs, times.patienceMs, times.dueAtMs, times.sentAtMs]);
    const lengths = Uint32Array.from(frames, ({ length }) => length);
    const result = binding().pumpPut(slot, socket.handle, Buffer.concat(frames), lengths, this.#times, families);
    if (result >= 0) return slot;
    this.#free.push(slot);
    return undefined;
  }

  read(slot: number): Repeated {
    return this.#read(slot, false);
  }

  /** Nothing of it is sent any more when this returns. */
  end(slot: number): Repeated {
    const repeated = this.#read(slot, true);
    this.#free.push(slot);
    return repeated;
  }

  #read(slot: number, ends: boolean): Repeated {
    binding().pumpRead(slot, ends, this.#out);
    const [adverts = 0, dueAtMs = 0, sentAtMs = 0, lapsed = 0] = this.#out;
    return { adverts, dueAtMs, sentAtMs, lapsed: lapses[lapsed] };
  }

  /** The event loop is alive, and may be away until then. @returns how many have lapsed and wait to be ended */
  alive(untilMs: number): number {
    return binding().pumpAlive(untilMs);
  }

  /** Adverts in each bucket of lateness since the last call, and the sum of their lateness in seconds. */
  lateness(): { readonly counts: readonly number[]; readonly sum: number } {
    const out = new Float64Array(this.#bounds + 2);
    binding().pumpLateness(out);
    return { counts: [...out.subarray(0, this.#bounds + 1)], sum: (out[this.#bounds + 1] ?? 0) / 1000 };
  }
}
