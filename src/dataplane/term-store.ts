import { constants } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { nextTerm, type Term, term } from '../core/identity.js';
import { KoiError } from '../koi-error.js';
import { replaceFile } from './replace-file.js';

const fileForm = z.strictObject({ format: z.literal(1), terms: z.record(z.string(), z.number().int().nonnegative()) });

/** How long after its last use the next term is reserved: not during a takeover, which needs the disk for its claim. */
const reserveAfterMs = 500;

/**
 * The highest term that each virtual router may have used, on disk before it is used: written to a temporary file,
 * fsynced, renamed. A log can lose acknowledged events; this file is why a term is never used twice all the same.
 *
 * The term after the highest one is reserved when the store is opened, and in quiet times, so that a takeover finds it on
 * disk already and waits for no fsync. A restart takes a reserved term for a used one: a number is skipped, none is repeated. Saves of many virtual
 * routers that come together share one write.
 */
export class TermStore {
  readonly #file: string;
  readonly #terms: Map<string, Term>;
  /** What the file says now. */
  readonly #written: Map<string, Term>;
  #reserving: NodeJS.Timeout | undefined;
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #writing = false;

  private constructor(file: string, terms: Map<string, Term>) {
    this.#file = file;
    this.#terms = terms;
    this.#written = new Map(terms);
  }

  /** @throws KoiError `config` naming the state directory, where it cannot be */
  static async makeDirectory(stateDir: string): Promise<void> {
    await mkdir(stateDir, { recursive: true, mode: 0o750 }).catch((cause: unknown) => {
      throw new KoiError('config', `stateDir ${stateDir} cannot be made: ${String(cause)}`, {
        remedy: 'create it, owned by the user that runs the dataplane',
      });
    });
  }

  /**
   * Reads `terms.json` in the state directory. A file that cannot be understood is an error: guessing could reuse a term.
   * To be called when nobody else writes it any more.
   */
  static async open(stateDir: string): Promise<TermStore> {
    const file = join(stateDir, 'terms.json');
    await TermStore.makeDirectory(stateDir);
    let text: string;
    try {
      // Of a link to somewhere else nothing is read, nor told in an error.
      const flag = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      text = await readFile(file, { encoding: 'utf8', flag });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new TermStore(file, new Map());
      throw new KoiError('config', `${file} cannot be read: ${String(error)}`, {
        remedy: 'let the user that runs the dataplane read it: without it a term could be used twice',
      });
    }
    const store = new TermStore(file, parseTerms(file, text));
    // What an earlier life reserved counts as used: the next claim takes the term above it.
    store.#reserve();
    return store;
  }

  get(vr: string): Term {
    return this.#terms.get(vr) ?? term(0);
  }

  /** Resolves when a term at least as high is on disk; at once where it was reserved. */
  save(vr: string, value: Term): Promise<void> {
    if (value > this.get(vr)) this.#terms.set(vr, value);
    this.#reserveSoon();
    if (value <= (this.#written.get(vr) ?? 0)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#writing) void this.#writeAll();
    });
  }

  #reserveSoon(): void {
    clearTimeout(this.#reserving);
    this.#reserving = setTimeout(() => this.#reserve(), reserveAfterMs);
    this.#reserving.unref();
  }

  #reserve(): void {
    const isReserved = [...this.#terms].every(([vr, value]) => (this.#written.get(vr) ?? 0) > value);
    // A disk that fails is told of by the save that needs it.
    if (!isReserved && !this.#writing) this.#writeAll().catch(() => undefined);
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    do {
      const served = this.#waiting;
      this.#waiting = [];
      const reserved = new Map([...this.#terms].map(([vr, value]) => [vr, nextTerm(value)]));
      try {
        await replaceFile(this.#file, JSON.stringify({ format: 1, terms: Object.fromEntries(reserved) }));
        for (const [vr, value] of reserved) this.#written.set(vr, value);
        for (const { resolve } of served) resolve();
      } catch (error) {
        for (const { reject } of served) reject(error);
      }
    } while (this.#waiting.length > 0);
    this.#writing = false;
  }
}

function parseTerms(file: string, text: string): Map<string, Term> {
  const refuse = (why: string): never => {
    throw new KoiError('config', `${file} is damaged: ${why}`, {
      remedy: 'restore it from a backup, or delete it if the event log is intact: terms are read from there too',
    });
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return refuse('it is not JSON');
  }
  const checked = fileForm.safeParse(parsed);
  if (!checked.success) return refuse('it is not in the form that koi writes');
  return new Map(Object.entries(checked.data.terms).map(([vr, value]) => [vr, term(value)]));
}
