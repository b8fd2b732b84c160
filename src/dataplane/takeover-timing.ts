import type { Receipt } from '../attach/receipt.js';
import type { Vr } from '../core/vr-state.js';
import type { ToAgent } from '../ipc/protocol.js';
import type { TakeoverPhase } from '../observe/snapshot.js';

type MasterActive = Extract<ToAgent, { type: 'masterActive' }>;

/** When the parts of one takeover began, on the monotonic clock: from the decision to the first frame seen leaving. */
export class TakeoverTiming {
  readonly #silentSinceMs: number;
  readonly #decidedAtMs: number;
  #attachAtMs: number;
  #attachedAtMs: number;
  #receipts: readonly Receipt[] = [];

  /** `before` is the state that the decision was taken in. */
  constructor(before: Vr, atMs: number) {
    const { phase } = before;
    this.#silentSinceMs = phase.name === 'backup' ? phase.silentSinceMs : atMs;
    // Asking the holder belongs to the arbitration, not to noticing its silence.
    this.#decidedAtMs = (phase.name === 'backup' ? phase.challenge?.decidedAtMs : undefined) ?? atMs;
    this.#attachAtMs = atMs;
    this.#attachedAtMs = atMs;
  }

  attachBegan(atMs: number): void {
    this.#attachAtMs = atMs;
  }

  attached(receipts: readonly Receipt[], atMs: number): void {
    this.#receipts = receipts;
    this.#attachedAtMs = atMs;
  }

  /** The durations, once the announcement was seen leaving at `atMs`. */
  finish(
    atMs: number,
  ): { readonly phasesMs: Readonly<Record<TakeoverPhase, number>> } & Pick<MasterActive, 'steps' | 'phases'> {
    const phasesMs = {
      detect: this.#decidedAtMs - this.#silentSinceMs,
      arbitrate: this.#attachAtMs - this.#decidedAtMs,
      attach: this.#attachedAtMs - this.#attachAtMs,
      announce: atMs - this.#attachedAtMs,
    };
    const steps = this.#receipts.map(({ step: name, durationMs }) => ({ name, durationUs: micros(durationMs) }));
    return {
      phasesMs,
      steps: [...steps, { name: 'announce', durationUs: micros(phasesMs.announce) }],
      phases: {
        detectUs: micros(phasesMs.detect),
        arbitrateUs: micros(phasesMs.arbitrate),
        attachUs: micros(phasesMs.attach),
        announceUs: micros(phasesMs.announce),
      },
    };
  }
}

const micros = (ms: number): number => Math.max(0, Math.round(ms * 1000));
