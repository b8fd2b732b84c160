/** How keepalived writes numbers, times and commands. */

/** A whole number within the bounds; undefined for anything else. */
export function wholeNumber(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^[+-]?\d{1,12}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

/** A <TIMER>: seconds with a fraction, to the microsecond; in milliseconds, not rounded. */
export function secondsAsMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,9}(\.\d{1,9})?$/.test(text)) return undefined;
  return Math.round(Number(text) * 1_000_000) / 1_000;
}

/** A <BOOL>; a keyword alone means yes. */
export function truth(text: string | undefined): boolean | undefined {
  if (text === undefined || /^(on|true|yes)$/.test(text)) return true;
  return /^(off|false|no)$/.test(text) ? false : undefined;
}

/**
 * A command with its arguments as keepalived splits it: by blanks, quotes hold together, a backslash takes the next
 * character as it is. Undefined where a quote stays open, or there is no word.
 */
export function splitCommand(text: string): readonly string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\\' && at + 1 < text.length) {
      at += 1;
      word = (word ?? '') + text.charAt(at);
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + char;
  }
  if (word !== undefined) words.push(word);
  return quote !== '' || words.length === 0 || words.some((each) => each === '') ? undefined : words;
}

/** Names of Koi: letters, digits, '-', '_' and '.', at most 32; no two are the same. */
export class Names {
  readonly #taken = new Set<string>();

  /** The text itself where it can be a name, else the nearest one that can. */
  take(text: string): string {
    const plain = text.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '');
    const base = plain === '' ? 'x' : plain;
    let name = base.slice(0, 32);
    for (let at = 2; this.#taken.has(name); at += 1) name = `${base.slice(0, 32 - 1 - String(at).length)}-${at}`;
    this.#taken.add(name);
    return name;
  }
}
