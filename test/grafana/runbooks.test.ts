import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.js';
import { alertRules } from './alert-rules.js';

const folder = fileURLToPath(new URL('../../docs/runbooks', import.meta.url));
const pages = readdirSync(folder);
const alerts = alertRules().map(({ alert }) => alert);
const read = (page: string): string => readFileSync(join(folder, page), 'utf8');

describe('the runbooks', () => {
  it('are one for each alert, and one list of all', () => {
    expect(pages.sort()).toEqual([...alerts.map((name) => `${name}.md`), 'README.md'].sort());
    const list = read('README.md');
    for (const { alert, labels } of alertRules()) {
      expect(list).toContain(`| [${alert}](${alert}.md) | ${labels.severity} |`);
    }
  });

  it('point at what exists', () => {
    const dead = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)#]+)[^)]*\)/g)]
        .map(([, target = '']) => target)
        .filter((target) => !existsSync(resolve(folder, dirname(page), target)))
        .map((target) => `${page}: ${target}`),
    );
    expect(dead).toEqual([]);
  });

  for (const alert of alerts) {
    it(`${alert} says what it means, what it costs, how to look and what to do`, () => {
      const page = read(`${alert}.md`);
      const parts = page.split(/^## /m);
      expect(parts.map((part) => part.split('\n')[0])).toEqual([
        `# ${alert}`,
        'Meaning',
        'Impact',
        'Diagnosis',
        'Remedy',
      ]);
      for (const part of parts.slice(1)) expect(part.length).toBeGreaterThan(40);
      expect(commandsIn(parts[3] ?? '').length, 'commands of koi to look with').toBeGreaterThan(0);
    });
  }

  it('name commands and options that koi has', async () => {
    const wrong: string[] = [];
    for (const page of pages) {
      for (const words of commandsIn(read(page))) {
        const problem = await problemWith(words);
        if (problem !== undefined) wrong.push(`${page}: koi ${words.join(' ')}: ${problem}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

/** The commands of koi in the code blocks, without comments and what they are piped into. */
function commandsIn(text: string): string[][] {
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
  return blocks
    .flatMap((block) => block.split('\n'))
    .flatMap((line) => line.replace(/ +#.*$/, '').split(/&&|\|/))
    .map((command) => command.trim())
    .filter((command) => command.startsWith('koi '))
    .map((command) => command.split(/ +/).slice(1));
}

async function problemWith([name = '', ...words]: readonly string[]): Promise<string | undefined> {
  const entry = commands.find((each) => each.name === name);
  if (entry === undefined) return 'there is no such command';
  const command = new Command(name).exitOverride().configureOutput({ writeErr: () => undefined });
  (await entry.load()).define(command);
  try {
    const { operands, unknown } = command.parseOptions([...words]);
    const [option] = unknown;
    if (option !== undefined) return `there is no option ${option}`;
    const { registeredArguments } = command;
    if (operands.length > registeredArguments.length) return `too many words: ${operands.join(' ')}`;
    const missing = registeredArguments[operands.length];
    return missing?.required === true ? `${missing.name()} is missing` : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
