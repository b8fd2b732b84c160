import { type ConfigPath, isMap } from './path.js';
import type { PlacedProblem } from './schema-problems.js';

interface Row {
  /** Where it stands; '*' is every entry of a list. */
  readonly at: readonly string[];
  /** Whether the value there asks for the feature. */
  readonly asks: (value: unknown) => boolean;
  readonly feature: string;
  readonly instead: string;
}

const is =
  (text: string) =>
  (value: unknown): boolean =>
    value === text;
const vr = (...rest: string[]): string[] => ['virtualRouters', '*', ...rest];

/** What the configuration can already say and this release cannot yet do. A feature that arrives deletes its row. */
const notYet: readonly Row[] = [
  { at: vr('onPathSplit'), asks: is('take'), feature: 'onPathSplit take', instead: 'use hold' },
  { at: ['onPathSplit'], asks: is('take'), feature: 'onPathSplit take', instead: 'use hold' },
];

/** Refuses, by name, each feature of the file that this release cannot run. Works on a file that is wrong elsewhere. */
export function findUnavailable(root: unknown): PlacedProblem[] {
  return notYet.flatMap(({ at, asks, feature, instead }) =>
    matches(root, at, [])
      .filter(({ value }) => asks(value))
      .map(({ path }) => ({ path, message: `${feature} is not available in this release`, remedy: instead })),
  );
}

function matches(value: unknown, at: readonly string[], path: ConfigPath): { path: ConfigPath; value: unknown }[] {
  const [part, ...rest] = at;
  if (part === undefined) return [{ path, value }];
  if (part === '*') {
    return Array.isArray(value) ? value.flatMap((item, index) => matches(item, rest, [...path, index])) : [];
  }
  return isMap(value) && Object.hasOwn(value, part) ? matches(value[part], rest, [...path, part]) : [];
}
