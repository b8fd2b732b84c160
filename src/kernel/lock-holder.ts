import { readFileSync } from 'node:fs';

/** What a lock is made of, once it is taken. */
export interface Lock {
  /** Why it protects less than it should, for people. */
  readonly warning: string | undefined;
  release(): void;
}

/** Somebody has it. Either `released` or `forget` is called. */
export interface Busy {
  /** For people. */
  readonly holder: string;
  readonly pid: number | undefined;
  /** Resolves when it may be free, or after so long. */
  released(leftMs: number): Promise<void>;
  forget(): void;
}

/** `pid 77 (ifup)`. */
export function nameOfProcess(pid: number): string {
  try {
    return `pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
  } catch {
    return `pid ${pid}`;
  }
}
