import type { Document, Node, Pair } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { ConfigPath } from './path.js';

export interface YamlProblem {
  readonly line: number;
  readonly message: string;
  /** The parser's word for it. */
  readonly code?: string;
  /** The tree can still be used: the problem is about one key. */
  readonly harmless: boolean;
}

/** A parsed file that remembers on which line each value stands. */
export interface YamlDocument {
  readonly value: unknown;
  readonly problems: readonly YamlProblem[];
  /** The line of the key at `path`, or of its nearest ancestor that exists. */
  lineOf(path: ConfigPath): number;
}

// An alias may repeat a list a few times; a file that wants thousands of copies is an attack or a mistake.
const aliasesMax = 100;

/** Parses YAML 1.2 (JSON included). Never throws: what is wrong is in `problems`. */
export function parseYaml(text: string): YamlDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems: YamlProblem[] = [...document.errors, ...document.warnings].map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    message: error.code === 'DUPLICATE_KEY' ? 'this key is in the map twice' : error.message,
    code: error.code,
    harmless: error.code === 'DUPLICATE_KEY',
  }));
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: aliasesMax });
  } catch (error) {
    problems.push({ line: 1, message: error instanceof Error ? error.message : String(error), harmless: false });
  }
  return { value, problems, lineOf: (path) => lines.linePos(offsetOf(document, path)).line };
}

function offsetOf(document: Document, path: ConfigPath): number {
  let node = document.contents as Node | null;
  let offset = node?.range?.[0] ?? 0;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document) ?? null;
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
      if (pair === undefined) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value as Node | null;
    } else if (isSeq(node) && typeof part === 'number') {
      const item = node.items[part] as Node | undefined;
      if (item === undefined) return offset;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else {
      return offset;
    }
  }
  return offset;
}
