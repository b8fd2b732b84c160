import { type ConfigPath, isMap } from './path.js';

export interface MissingVariable {
  readonly path: ConfigPath;
  readonly name: string;
}

export interface Expansion {
  readonly value: unknown;
  readonly missing: readonly MissingVariable[];
  /** The paths of the values that contained a variable. */
  readonly expanded: readonly ConfigPath[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

const reference = /\$(\$?)\{([^}]*)\}/g;

// Deeper than any schema goes; an alias that contains itself would never end.
const depthMax = 16;

/**
 * Replaces `${NAME}` in every string value (never in keys) by the variable's value; `$${NAME}` stands for a literal
 * `${NAME}`. A variable that is not set is reported and left as it is: an empty secret is worse than an error.
 */
export function expandEnvironment(root: unknown, environment: Environment): Expansion {
  const missing: MissingVariable[] = [];
  const expanded: ConfigPath[] = [];

  const expandString = (text: string, path: ConfigPath): string => {
    let touched = false;
    const result = text.replace(reference, (whole, escaped: string, name: string) => {
      if (escaped !== '') return whole.slice(1);
      touched = true;
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
      if (value === undefined) missing.push({ path, name });
      return value ?? whole;
    });
    if (touched) expanded.push(path);
    return result;
  };

  const walk = (value: unknown, path: ConfigPath): unknown => {
    if (typeof value === 'string') return expandString(value, path);
    if (path.length >= depthMax) return undefined;
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]));
    if (!isMap(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]));
  };

  return { value: walk(root, []), missing, expanded };
}
