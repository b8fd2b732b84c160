import type { ConfigPath } from './path.js';

/** A configuration as its file has it, variables put in: also one that is wrong somewhere. */
export interface ReadDocument {
  readonly root: unknown;
  /** The line of a path in the file. */
  readonly lineOf: (path: ConfigPath) => number | undefined;
  /** Whether what stands there, or what it is a part of, has been found wrong already. */
  readonly isRefused: (path: ConfigPath) => boolean;
}

/** @param refused the paths at which something is wrong */
export function readDocument(
  root: unknown,
  lineOf: (path: ConfigPath) => number | undefined,
  refused: readonly ConfigPath[],
): ReadDocument {
  const isRefused = (path: ConfigPath): boolean =>
    refused.some((wrong) => wrong.length > 0 && wrong.every((part, at) => part === path[at]));
  return { root, lineOf, isRefused };
}
