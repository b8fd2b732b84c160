import { applyCondition, expandParameters, readDefinition, unrollLine } from './keepalived-macros.js';

/** Where something stands in a file of keepalived's; line and column begin with 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface SyntaxProblem {
  readonly place: Place;
  readonly message: string;
  readonly remedy: string;
}

/** What the parser needs of a file system; paths are as the configuration names them, made absolute by `resolve`. */
export interface ConfigFiles {
  /** The text of a file; undefined where it cannot be read. */
  read(path: string): string | undefined;
  /** The files that a pattern names, sorted; none is an empty list. */
  glob(pattern: string): readonly string[];
  /** A path as seen from the directory of `from`. */
  resolve(from: string, path: string): string;
}

/** A line after comments, conditions, parameters and sequences are dealt with. */
export interface ExpandedLine {
  readonly text: string;
  readonly place: Place;
}

/** Limits, since a `~SEQ` of a `~SEQ` multiplies, and a parameter may name itself. */
export const linesMax = 200_000;
const includeDepthMax = 32;
const expansionDepthMax = 64;

/** Removes a comment (`#` or `!` outside double quotes) and the blanks around, as keepalived's decomment(). */
export function withoutComment(line: string): { readonly text: string; readonly openQuote: boolean } {
  let quoted = false;
  let text = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line.charAt(at);
    const next = line.charAt(at + 1);
    if (char === '\\' && next !== '') {
      text += !quoted && (next === '#' || next === '!') ? next : char + next;
      at += 1;
      continue;
    }
    if (char === '"') quoted = !quoted;
    if (!quoted && (char === '#' || char === '!')) break;
    text += char;
  }
  return { text: text.trim(), openQuote: quoted };
}

/** Reads a file and all it includes, line by line, in the order in which keepalived sees them. */
export class TextReader {
  readonly lines: ExpandedLine[] = [];
  readonly problems: SyntaxProblem[] = [];
  readonly #files: ConfigFiles;
  readonly #configId: string;
  readonly #definitions = new Map<string, readonly string[]>();
  #collecting: { readonly name: string; readonly lines: string[] } | undefined;

  constructor(files: ConfigFiles, configId: string) {
    this.#files = files;
    this.#configId = configId;
  }

  readFile(path: string, within: readonly string[] = [], from?: Place): void {
    const place = from ?? { file: path, line: 1, column: 1 };
    if (within.includes(path)) {
      this.#fail(place, `the file includes itself: ${[...within, path].join(' → ')}`, 'remove one of these includes');
      return;
    }
    if (within.length >= includeDepthMax) {
      this.#fail(place, `includes are nested more than ${includeDepthMax} deep`, 'include fewer files from each other');
      return;
    }
    const text = this.#files.read(path);
    if (text === undefined) {
      this.#fail(place, `${path} cannot be read`, 'create the file, let this user read it, or correct its path');
      return;
    }
    text.split(/\r?\n/).forEach((raw, index) => {
      const column = raw.length - raw.trimStart().length + 1;
      this.#readLine(raw, { file: path, line: index + 1, column }, [...within, path]);
    });
    this.#endDefinition();
  }

  #readLine(raw: string, place: Place, within: readonly string[]): void {
    if (raw.trim() === '') {
      this.#endDefinition();
      return;
    }
    const { text, openQuote } = withoutComment(raw);
    if (openQuote) {
      this.#fail(
        { ...place, column: raw.lastIndexOf('"') + 1 },
        'the quote is not closed',
        'close it on the same line',
      );
      return;
    }
    if (text === '') return;
    if (this.#collecting === undefined) {
      this.#expand(text, place, within, 0);
      return;
    }
    const continued = text.endsWith('\\');
    const part = (continued ? text.slice(0, -1) : text).trim();
    if (part !== '') this.#collecting.lines.push(part);
    if (!continued) this.#endDefinition();
  }

  #endDefinition(): void {
    if (this.#collecting === undefined) return;
    this.#definitions.set(this.#collecting.name, this.#collecting.lines);
    this.#collecting = undefined;
  }

  #expand(given: string, place: Place, within: readonly string[], depth: number): void {
    if (depth > expansionDepthMax) {
      this.#fail(place, `'${given.slice(0, 60)}' expands without end`, 'remove the parameter that names itself');
      return;
    }
    if (this.lines.length >= linesMax) {
      if (this.lines.length > linesMax) return;
      this.lines.push({ text: '', place });
      this.#fail(place, `the configuration expands to more than ${linesMax} lines`, 'make its ~SEQ or ~LST smaller');
      return;
    }
    const text = applyCondition(given, this.#configId);
    if (text === undefined || text === '') return;
    const definition = readDefinition(text);
    if (definition !== undefined) {
      if (definition.multiline) {
        this.#collecting = { name: definition.name, lines: definition.value === '' ? [] : [definition.value] };
      } else this.#definitions.set(definition.name, [definition.value]);
      return;
    }
    const unrolled = unrollLine(text, (part) => this.#substitute(part, place).join(' '));
    if (unrolled !== undefined) {
      if (!unrolled.ok) {
        this.#fail(place, unrolled.message, 'write ~SEQ(NAME, START, STEP, END) or ~LST(NAME, VALUE, VALUE)');
        return;
      }
      for (const values of unrolled.rounds) {
        for (const [name, value] of values) this.#definitions.set(name, [value]);
        this.#expand(unrolled.rest, place, within, depth + 1);
      }
      return;
    }
    const replaced = this.#substitute(text, place);
    if (replaced.length !== 1 || replaced[0] !== text) {
      this.#expandAll(replaced, place, within, depth + 1);
      return;
    }
    const include = /^include([rmwba]?)\s+(.*)$/.exec(text);
    if (include !== null) this.#include(include[2] ?? '', include[1] !== '', place, within);
    else this.lines.push({ text, place });
  }

  /** Lines of a multi-line parameter may define parameters of several lines themselves. */
  #expandAll(lines: readonly string[], place: Place, within: readonly string[], depth: number): void {
    for (const line of lines) this.#expand(withoutComment(line).text, place, within, depth);
  }

  #substitute(text: string, place: Place): readonly string[] {
    const directory = this.#files.resolve(place.file, '.');
    return expandParameters(text, (name) => {
      const defined = this.#definitions.get(name);
      if (defined !== undefined) return defined;
      if (name === '_PWD') return [directory];
      if (name === '_INSTANCE') return [this.#configId];
      if (name === '_HASH') return ['\\#'];
      if (name === '_BANG') return ['\\!'];
      return undefined;
    });
  }

  #include(given: string, mustMatch: boolean, place: Place, within: readonly string[]): void {
    const pattern = this.#files.resolve(place.file, given.replace(/^"(.*)"$/, '$1'));
    const found = this.#files.glob(pattern);
    if (found.length === 0 && (mustMatch || !/[*?[{]/.test(pattern))) {
      this.#fail(place, `the include of ${pattern} finds no file`, 'correct the path, or remove the line');
    }
    for (const path of found) this.readFile(path, within, place);
  }

  #fail(place: Place, message: string, remedy: string): void {
    this.problems.push({ place, message, remedy });
  }
}
