import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.js';
import { shellBlocks } from './blocks.js';

/* What the documents tell people to type exists: subcommands, their options, npm scripts, and the pages they point to. */
const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md'],
  ...readdirSync('docs').map((name) => join('docs', name)),
  ...readdirSync('docs/runbooks').map((name) => join('docs/runbooks', name)),
].filter((name) => name.endsWith('.md'));
const scripts = (JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }).scripts;

const shellLines = (text: string): string[] =>
  shellBlocks(text).flatMap((block) => block.replaceAll(/\\\n\s*/g, ' ').split('\n'));

/** The command lines of koi in a line of shell: what stands before it, and after a pipe, is another's. */
const koiCalls = (line: string): string[][] =>
  line
    .replace(/(^|\s)#.*$/, '')
    .split(/&&|\|\||[|;]/)
    .map((part) => part.trim().split(/\s+/))
    .filter(([program = '']) => /^(sudo|bin\/koi|koi)$/.test(program))
    .map((words) => (words[0] === 'sudo' ? words.slice(1) : words))
    .filter(([program = '']) => /koi$/.test(program))
    .map((words) => words.slice(1).filter((word, index, all) => word !== '>' && all[index - 1] !== '>'));

describe.each(pages)('%s', (page) => {
  const text = readFileSync(page, 'utf8');

  it('calls subcommands and options of koi that exist, and npm scripts', async () => {
    for (const line of shellLines(text)) {
      const script = /npm run ([\w:-]+)/.exec(line)?.[1];
      if (script !== undefined) expect(Object.keys(scripts), line).toContain(script);
      for (const [name = '', ...words] of koiCalls(line)) {
        const entry = commands.find((each) => each.name === name);
        expect(entry, line).toBeDefined();
        const defined = new Command(name);
        (await entry?.load())?.define(defined);
        const command = defined.commands.find((each) => each.name() === words[0]) ?? defined;
        const known = ['-h', '--help', ...command.options.flatMap(({ short, long }) => [short, long])];
        for (const word of words.filter((each) => /^-/.test(each))) expect(known, line).toContain(word.split('=')[0]);
      }
    }
  });

  it('points to files that exist', () => {
    for (const [, link, image] of text.matchAll(
      /\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)|<img src="([^"]+)"/g,
    )) {
      const target = link ?? image ?? '';
      expect(existsSync(join(dirname(page), target)), target).toBe(true);
    }
  });
});
