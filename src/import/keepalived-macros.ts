/** What follows `@id ` where the line is for this id, `@^id ` where it is for others; undefined where it is left out. */
export function applyCondition(line: string, configId: string): string | undefined {
  const condition = /@([\^!]?)(\S*)\s+/y;
  let at = 0;
  while (line.startsWith('@', at)) {
    condition.lastIndex = at;
    const parts = condition.exec(line);
    if (parts === null || (parts[2] === configId) !== (parts[1] === '')) return undefined;
    at = condition.lastIndex;
  }
  return line.slice(at);
}

/** `$NAME=VALUE`; a value that ends with a backslash goes on in the next lines. */
export function readDefinition(
  line: string,
): { readonly name: string; readonly value: string; readonly multiline: boolean } | undefined {
  const parts = /^\$([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line);
  if (parts?.[1] === undefined) return undefined;
  const value = parts[2] ?? '';
  const multiline = value.endsWith('\\');
  return { name: parts[1], value: (multiline ? value.slice(0, -1) : value).trim(), multiline };
}

/**
 * Replaces the first `$NAME` or `${NAME}` that is defined. A value of several lines is only replaced at the end of the
 * line, as in keepalived; its lines are then the result's. What is not defined stays as it is.
 */
export function expandParameters(
  line: string,
  lookUp: (name: string) => readonly string[] | undefined,
): readonly string[] {
  for (const match of line.matchAll(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)(?=[\s,)]|$))/g)) {
    const lines = lookUp(match[1] ?? match[2] ?? '');
    if (lines === undefined) continue;
    const before = line.slice(0, match.index);
    const after = line.slice(match.index + match[0].length);
    if (lines.length > 1 && after.trim() !== '') continue;
    const [first = '', ...others] = lines;
    return [before + first + after, ...others];
  }
  return [line];
}

type Round = readonly (readonly [name: string, value: string])[];
export type Unrolled =
  | { readonly ok: true; readonly rounds: readonly Round[]; readonly rest: string }
  | { readonly ok: false; readonly message: string };

const roundsMax = 100_000;

/** The rounds of a line that begins with `~SEQ(…)`, `~SEQx(…)` or `~LST(…)`; undefined for any other line. */
export function unrollLine(line: string, expand: (part: string) => string): Unrolled | undefined {
  if (!/^~(SEQ|LST)/.test(line)) return undefined;
  const parts = /^~(SEQx?|LST)\s*\(([^)]*)\)\s*(.*)$/.exec(line);
  if (parts === null) return { ok: false, message: `'${line.slice(0, 60)}' has no closing parenthesis` };
  const rest = parts[3] ?? '';
  const body = parts[2] ?? '';
  return parts[1] === 'LST' ? list(body, rest) : sequence(expand(body), rest, parts[1] === 'SEQx');
}

function sequence(body: string, rest: string, hex: boolean): Unrolled {
  const [name = '', ...texts] = body.split(',').map((text) => text.trim());
  const numbers = texts.map((text) => (/^-?(0x[0-9A-Fa-f]+|\d+)$/.test(text) ? wholeNumber(text) : Number.NaN));
  const [one = Number.NaN, two, three] = numbers;
  const [start, step, end] =
    two === undefined
      ? [one < 0 ? -1 : 1, one < 1 ? -1 : 1, one]
      : three === undefined
        ? [one, one <= two ? 1 : -1, two]
        : [one, two, three];
  const wrongWay = step === 0 || (start < end && step < 0) || (start > end && step > 0);
  if (!/^[A-Za-z_]\w*$/.test(name) || numbers.length > 3 || [start, step, end].some(Number.isNaN) || wrongWay) {
    return { ok: false, message: `'~SEQ(${body})' is not a sequence` };
  }
  if ((end - start) / step >= roundsMax) return { ok: false, message: `'~SEQ(${body})' has too many rounds` };
  const rounds: Round[] = [];
  for (let value = start; step > 0 ? value <= end : value >= end; value += step) {
    rounds.push([[name, hex ? value.toString(16) : String(value)]]);
  }
  return { ok: true, rounds, rest };
}

/** As strtol with base 0, but for octal. */
const wholeNumber = (text: string): number => (text.startsWith('-') ? -Number(text.slice(1)) : Number(text));

function list(body: string, rest: string): Unrolled {
  const groups = [...body.matchAll(/\{([^}]*)\}|([^,{}]+)/g)]
    .filter((match) => match[1] !== undefined || match[2]?.trim() !== '')
    .map((match) => (match[1] ?? match[2] ?? '').split(',').map((text) => text.trim()));
  const [names = [], ...sets] = groups;
  if (sets.length === 0 || names.some((name) => !/^[A-Za-z_]\w*$/.test(name))) {
    return { ok: false, message: `'~LST(${body})' is not a list` };
  }
  if (sets.some((values) => values.length > names.length)) {
    return { ok: false, message: `'~LST(${body})' has more values than names` };
  }
  return { ok: true, rounds: sets.map((values) => names.map((name, at) => [name, values[at] ?? ''] as const)), rest };
}
