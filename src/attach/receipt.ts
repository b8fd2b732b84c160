/** The steps that put a virtual IP on the wire, in their order; the last is the agent's. */
export type AttachStep =
  | 'parent'
  | 'guards'
  | 'link'
  | 'link_up'
  | 'registered'
  | 'duplicates'
  | 'addresses'
  | 'routes'
  | 'announce'
  | 'log';

/** What the kernel or the wire said back to prove a step. */
export interface Receipt {
  readonly step: AttachStep;
  readonly durationMs: number;
  /** What was read back, for a human. */
  readonly evidence: string;
}

/** Collects the receipts of one run through the steps; each step is timed from the end of the one before. */
export class ReceiptBook {
  readonly #now: () => number;
  readonly #receipts: Receipt[] = [];
  #lastMs: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#lastMs = now();
  }

  prove(step: AttachStep, evidence: string): void {
    const nowMs = this.#now();
    this.#receipts.push({ step, durationMs: nowMs - this.#lastMs, evidence });
    this.#lastMs = nowMs;
  }

  get receipts(): readonly Receipt[] {
    return this.#receipts;
  }
}
