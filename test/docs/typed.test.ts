import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseBenchOptions } from '../bench/options.js';
import { parseOptions } from '../lab/options.js';
import { linesOf, shellBlocks } from './blocks.js';
import { typists } from './typed.js';

/* Every line that a document says to type is run by a test that is named here, or it is said why not. */
const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'helm/koi/README.md', 'grafana/README.md'],
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
].filter((name) => name.endsWith('.md'));
const lines = pages.flatMap((page) =>
  shellBlocks(readFileSync(page, 'utf8'))
    .flatMap(linesOf)
    .map((line) => ({ page, line })),
);
const typistOf = ({ page, line }: { readonly page: string; readonly line: string }) =>
  typists.find((each) => each.pages.test(page) && each.lines.test(line));

describe('what the documents say to type', () => {
  it('is typed by somebody, each line', () => {
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.filter((each) => typistOf(each) === undefined)).toEqual([]);
  });

  it('is typed by tests that exist, and none of them is named in vain', () => {
    for (const { by } of typists) for (const path of by) expect(existsSync(path), path).toBe(true);
    const used = new Set(lines.map(typistOf));
    expect(typists.filter((each) => !used.has(each)).map(({ lines: pattern }) => String(pattern))).toEqual([]);
  });

  it('has options of the lab and of the benchmark that they know', () => {
    for (const { line } of lines) {
      const [, script, rest = ''] = /^npm run (lab|bench)(?: -- (.*))?$/.exec(line) ?? [];
      const words = rest.split(' ').filter((word) => word !== '');
      if (script === 'lab') expect(() => parseOptions(words), line).not.toThrow();
      if (script === 'bench') expect(() => parseBenchOptions(words), line).not.toThrow();
    }
  });
});
