import type { z } from 'zod';
import { didYouMean } from './did-you-mean.js';
import { type ConfigPath, valueAt } from './path.js';
import { schemaPlace } from './schema-navigation.js';

/** A problem before its line is known. */
export interface PlacedProblem {
  readonly path: ConfigPath;
  readonly message: string;
  readonly remedy: string;
}

/** Turns the schema's issues into sentences for the person who wrote the file. Never repeats a value that may be secret. */
export function describeIssues(
  schema: z.core.$ZodType,
  root: unknown,
  issues: readonly z.core.$ZodIssue[],
): PlacedProblem[] {
  return issues.flatMap((issue) => describeIssue(schema, root, issue, []));
}

function describeIssue(
  schema: z.core.$ZodType,
  root: unknown,
  issue: z.core.$ZodIssue,
  above: ConfigPath,
): PlacedProblem[] {
  const path: ConfigPath = [...above, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  const place = schemaPlace(schema, path);
  const value = valueAt(root, path);
  const remedy = place?.description ?? 'run `koi schema` for what belongs here';
  const one = (message: string, how = remedy): PlacedProblem[] => [{ path, message, remedy: how }];

  if (value === undefined) return one('is missing', `add it: ${remedy}`);
  if (value === null) return one('has no value', `write one: ${remedy}`);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const known = place?.keys ?? [];
        const meant = didYouMean(key, known);
        return {
          path: [...path, key],
          message: `unknown key '${key}'`,
          remedy: meant === undefined ? `the keys here are ${known.join(', ')}` : `did you mean '${meant}'?`,
        };
      });
    case 'invalid_union': {
      const fitting = issue.errors.filter(
        (branch) => !branch.some((each) => each.path.length === 0 && each.code === 'invalid_type'),
      );
      const [branch] = fitting;
      if (fitting.length !== 1 || branch === undefined) return one(`a ${kindOf(value)} does not belong here`);
      return branch.flatMap((each) => describeIssue(schema, root, each, path));
    }
    case 'invalid_type':
      return one(
        issue.expected === 'int' && typeof value === 'number'
          ? `${value} is not a whole number`
          : `expected a ${kindNames[issue.expected] ?? issue.expected}, found a ${kindOf(value)}`,
      );
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      const meant = typeof value === 'string' ? didYouMean(value, allowed) : undefined;
      return one(
        typeof value === 'string' ? `'${value}' is not known here` : `expected a text, found a ${kindOf(value)}`,
        meant === undefined ? remedy : `did you mean '${meant}'? It is ${remedy}`,
      );
    }
    case 'too_big':
    case 'too_small':
      if (typeof value === 'number') return one(`${value} is out of range`);
      if (issue.code === 'too_big') return one(`there are too many: at most ${issue.maximum}`);
      return one(issue.message.startsWith('Too small') ? 'is empty' : issue.message);
    default:
      return one(issue.message);
  }
}

const kindNames: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'whole number',
  array: 'list',
  object: 'map',
  boolean: 'true or false',
};

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  switch (typeof value) {
    case 'string':
      return 'text';
    case 'object':
      return 'map';
    case 'boolean':
      return 'true or false';
    default:
      return typeof value;
  }
}
