import type { Directive } from './keepalived-parser.js';
import { splitCommand } from './words.js';

export type FoundCommand =
  | { readonly ok: true; readonly command: readonly string[] }
  | { readonly ok: false; readonly reason: string; readonly remedy: string };

/** Where a program without a path is, as keepalived would find it; undefined where it is nowhere. */
export type FindProgram = (name: string) => string | undefined;

/** The command of `script`, `notify_master` and their kind: one word, quoted where it has arguments. */
export function readCommand({ values }: Directive, findProgram: FindProgram): FoundCommand {
  const remedy = 'write it as a list that begins with an absolute path';
  const words = splitCommand(values[0] ?? '');
  if (words === undefined) return { ok: false, reason: 'it is no command', remedy };
  const [program = '', ...args] = words;
  if (program.startsWith('/')) return { ok: true, command: words };
  if (!/^[\w.+-]+$/.test(program)) {
    return {
      ok: false,
      reason: `'${program}' is no program: neither keepalived nor Koi runs a shell`,
      remedy: 'say the shell: [/bin/bash, -c, "…"]',
    };
  }
  const found = findProgram(program);
  if (found !== undefined) return { ok: true, command: [found, ...args] };
  return { ok: false, reason: `${program} is not installed here, and Koi needs its whole path`, remedy };
}
