import type { Directive } from './keepalived-parser.js';
import { splitCommand } from './words.js';

export type FoundCommand =
  | { readonly ok: true; readonly command: readonly string[] }
  | { readonly ok: false; readonly reason: string; readonly remedy: string };

/** Where a program without a path is, as keepalived would find it; undefined where it is nowhere. */
export type FindProgram = (name: string) => string | undefined;

/**
 * The first word of `script`, `notify_master` and their kind, which holds the command, and the words behind it. Single
 * quotes hold it together as double ones do, which the parser has taken off already.
 */
export function commandParts({ values }: Directive): { readonly text: string; readonly rest: readonly string[] } {
  const [first = '', ...rest] = values;
  const last = first.startsWith("'")
    ? values.findIndex((word, at) => word.endsWith("'") && (at > 0 || word.length > 1))
    : 0;
  if (last < 1) return { text: first.startsWith("'") && first.endsWith("'") ? first.slice(1, -1) : first, rest };
  return {
    text: values
      .slice(0, last + 1)
      .join(' ')
      .slice(1, -1),
    rest: values.slice(last + 1),
  };
}

/** The command of `script`, `notify_master` and their kind: one word, quoted where it has arguments. */
export function readCommand(directive: Directive, findProgram: FindProgram): FoundCommand {
  const remedy = 'write it as a list that begins with an absolute path';
  const words = splitCommand(commandParts(directive).text);
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
