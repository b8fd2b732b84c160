export interface TraceLine {
  readonly atMs: number;
  readonly node: string;
  readonly text: string;
}

/**
 * What happened, in order: always as a hash, by which two runs are compared, and line by line where somebody wants to
 * read it. What is written down never depends on whether it is read.
 */
export class Trace {
  readonly #lines: TraceLine[] | undefined;
  readonly #nowMs: () => number;
  #hash = 0x811c_9dc5;

  constructor(nowMs: () => number, isKept: boolean) {
    this.#nowMs = nowMs;
    this.#lines = isKept ? [] : undefined;
  }

  /** `what` is a fixed word; `detail` is asked for only where lines are kept. */
  note(node: string, what: string, detail?: () => string): void {
    const atMs = this.#nowMs();
    this.#mix(Math.floor(atMs * 1e6) >>> 0);
    for (let i = 0; i < what.length; i++) this.#mix(what.charCodeAt(i));
    for (let i = 0; i < node.length; i++) this.#mix(node.charCodeAt(i));
    this.#lines?.push({ atMs, node, text: detail === undefined ? what : `${what} ${detail()}` });
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  get lines(): readonly TraceLine[] {
    return this.#lines ?? [];
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x0100_0193);
  }
}
