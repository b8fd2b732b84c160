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

export interface FileFault {
  readonly message: string;
  readonly remedy: string;
  /** Others may read it. */
  readonly code?: 'privilege';
}

/** What the parser needs of a file system; paths are as the configuration names them, made absolute by `resolve`. */
export interface ConfigFiles {
  /** The text of a file, or why it cannot be read. */
  read(path: string): string | FileFault;
  /** The files that a pattern names, sorted; none is an empty list. `onFault` hears of directories that cannot be looked into. */
  glob(pattern: string, onFault: (directory: string, fault: FileFault) => void): readonly string[];
  /** A path as seen from the directory of `from`. */
  resolve(from: string, path: string): string;
}

/** A line after comments, conditions, parameters and sequences are dealt with. */
export interface ExpandedLine {
  readonly text: string;
  readonly place: Place;
}

/*
 * Limits, since a `~SEQ` of a `~SEQ` multiplies, a parameter may name itself, and a file may include others that include
 * others. Lines that come to nothing count as well: what bounds the time is the characters that are gone through.
 */
export const linesMax = 200_000;
const workMax = 32 * 1_024 * 1_024;
/** What a line costs besides its characters, about. */
const lineWork = 64;
/** What opening a file costs besides its lines, about. */
const fileWork = 4_096;
const lineLengthMax = 65_536;
const includeDepthMax = 32;
const expansionDepthMax = 64;
/** The next ones are most often the same again. */
const problemsMax = 50;

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
  #work = 0;
  /** Nothing more is read: a limit is reached. */
  #stopped = false;

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
    this.#work += fileWork;
    const text = this.#files.read(path);
    if (typeof text !== 'string') {
      this.#fail(place, `${path} ${text.message}`, text.remedy);
      return;
    }
    const open = [...within, path];
    let line = 0;
    for (const raw of text.split(/\r?\n/)) {
      line += 1;
      const column = raw.length - raw.trimStart().length + 1;
      this.#readLine(raw, { file: path, line, column }, open);
      if (this.#stopped) return;
    }
    this.#endDefinition();
  }

  #readLine(raw: string, place: Place, within: readonly string[]): void {
    if (!this.#mayGoOn(raw, place)) return;
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
    if (!this.#mayGoOn(given, place)) return;
    if (depth > expansionDepthMax) {
      this.#fail(place, `'${given.slice(0, 60)}' expands without end`, 'remove the parameter that names itself');
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
        if (this.#stopped) return;
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
    else if (this.lines.length < linesMax) this.lines.push({ text, place });
    else this.#stop(place, `the configuration expands to more than ${linesMax} lines`);
  }

  /** Counts the work, and looks whether it is within its limits. */
  #mayGoOn(text: string, place: Place): boolean {
    if (this.#stopped) return false;
    this.#work += text.length + lineWork;
    if (text.length > lineLengthMax) this.#stop(place, `the line is longer than ${lineLengthMax} characters`);
    else if (this.#work > workMax) this.#stop(place, 'the configuration takes too long to expand');
    return !this.#stopped;
  }

  #stop(place: Place, message: string): void {
    this.#fail(place, message, 'make its ~SEQ, ~LST, parameters or includes smaller');
    this.#stopped = true;
  }

  /** Lines of a multi-line parameter may define parameters of several lines themselves. */
  #expandAll(lines: readonly string[], place: Place, within: readonly string[], depth: number): void {
    for (const line of lines) {
      this.#expand(withoutComment(line).text, place, within, depth);
      if (this.#stopped) return;
    }
  }

  #substitute(text: string, place: Place): readonly string[] {
    if (!text.includes('$')) return [text];
    return expandParameters(text, (name) => {
      const defined = this.#definitions.get(name);
      if (defined !== undefined) return defined;
      if (name === '_PWD') return [this.#files.resolve(place.file, '.')];
      if (name === '_INSTANCE') return [this.#configId];
      if (name === '_HASH') return ['\\#'];
      if (name === '_BANG') return ['\\!'];
      return undefined;
    });
  }

  #include(given: string, mustMatch: boolean, place: Place, within: readonly string[]): void {
    const pattern = this.#files.resolve(place.file, given.replace(/^"(.*)"$/, '$1'));
    let blind = false;
    const found = this.#files.glob(pattern, (directory, { message, remedy }) => {
      blind = true;
      this.#fail(place, `the include of ${pattern}: ${directory} ${message}`, remedy);
    });
    if (found.length === 0 && !blind && (mustMatch || !/[*?[{]/.test(pattern))) {
      this.#fail(place, `the include of ${pattern} finds no file`, 'correct the path, or remove the line');
    }
    for (const path of found) {
      this.readFile(path, within, place);
      if (this.#stopped) return;
    }
  }

  #fail(place: Place, message: string, remedy: string): void {
    this.problems.push({ place, message, remedy });
    if (this.problems.length >= problemsMax) this.#stopped = true;
  }
}
