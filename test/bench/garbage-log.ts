import { readFileSync } from 'node:fs';

/** What node says with `--trace-gc` of each collection: `[pid:isolate] age ms: Scavenge 12.3 (15.0) -> 11.2 (16.0) MB, …`. */
const collection = /^\[(\d+):0x[0-9a-f]+\] +\d+ ms: [A-Z].*? ([\d.]+) \([\d.]+\) -> ([\d.]+) \(/gm;

/** What processes allocate, by what their collectors found: each time more than the time before had left. */
export class GarbageLog {
  readonly #file: string;
  #from = 0;

  constructor(file: string) {
    this.#file = file;
  }

  begin(): void {
    this.#from = this.#text().length;
  }

  /** Since it began, between the first and the last collection; 0 where there were fewer than two. */
  allocatedMiB(pid: number): number {
    return allocatedMiB(this.#text().slice(this.#from), pid);
  }

  #text(): string {
    return readFileSync(this.#file, 'utf8');
  }
}

export function allocatedMiB(text: string, pid: number): number {
  let left: number | undefined;
  let sum = 0;
  for (const [, of, before, after] of text.matchAll(collection)) {
    if (Number(of) !== pid) continue;
    if (left !== undefined) sum += Math.max(0, Number(before) - left);
    left = Number(after);
  }
  return sum;
}
