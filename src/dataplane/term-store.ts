import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type Term, term } from '../core/identity.js';
import { KoiError } from '../koi-error.js';

const fileForm = z.strictObject({ format: z.literal(1), terms: z.record(z.string(), z.number().int().nonnegative()) });

/**
 * The highest term of each virtual router, on disk before it is used: written to a temporary file, fsynced, renamed. A
 * log can lose acknowledged events; this file is why a term is never used twice all the same.
 *
 * Saves of many virtual routers that come together share one write.
 */
export class TermStore {
  readonly #file: string;
  readonly #terms: Map<string, Term>;
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #writing = false;

  private constructor(file: string, terms: Map<string, Term>) {
    this.#file = file;
    this.#terms = terms;
  }

  /** Reads `terms.json` in the state directory. A file that cannot be understood is an error: guessing could reuse a term. */
  static async open(stateDir: string): Promise<TermStore> {
    const file = join(stateDir, 'terms.json');
    await mkdir(stateDir, { recursive: true, mode: 0o750 }).catch((cause: unknown) => {
      throw new KoiError('config', `stateDir ${stateDir} cannot be made: ${String(cause)}`, {
        remedy: 'create it, owned by the user that runs the dataplane',
      });
    });
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new TermStore(file, new Map());
      throw new KoiError('config', `${file} cannot be read: ${String(error)}`);
    }
    return new TermStore(file, parseTerms(file, text));
  }

  get(vr: string): Term {
    return this.#terms.get(vr) ?? term(0);
  }

  /** Resolves when a term at least as high is on disk. */
  save(vr: string, value: Term): Promise<void> {
    if (value > this.get(vr)) this.#terms.set(vr, value);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#writing) void this.#writeAll();
    });
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const served = this.#waiting;
      this.#waiting = [];
      const content = JSON.stringify({ format: 1, terms: Object.fromEntries(this.#terms) });
      try {
        await replaceFile(this.#file, content);
        for (const { resolve } of served) resolve();
      } catch (error) {
        for (const { reject } of served) reject(error);
      }
    }
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

async function replaceFile(file: string, content: string): Promise<void> {
  const temporary = `${file}.new`;
  await withFile(temporary, 'w', async (handle) => {
    await handle.writeFile(content);
    await handle.sync();
  });
  await rename(temporary, file);
  await withFile(dirname(file), 'r', (directory) => directory.sync());
}

async function withFile(path: string, flags: string, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, flags, 0o640);
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}
