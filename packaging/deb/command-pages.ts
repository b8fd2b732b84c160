import type { Command, Option } from 'commander';
import { bold, escapeRoff, literal, section, tagged, titleLine } from './roff.js';

export interface PageAbout {
  readonly version: string;
  /** YYYY-MM-DD */
  readonly date: string;
}

/** A manual page by its file name: `koi-status.1`. */
export type Pages = ReadonlyMap<string, string>;

/** koi(1), and a page for each command that is loaded. */
export function commandPages(program: Command, about: PageAbout): Pages {
  const commands = program.commands.filter((command) => command.name() !== 'help');
  const pages = new Map([['koi.1', mainPage(program, commands, about)]]);
  for (const command of commands) pages.set(`koi-${command.name()}.1`, commandPage(program, command, commands, about));
  return pages;
}

function mainPage(program: Command, commands: readonly Command[], about: PageAbout): string {
  return [
    titleLine('koi', 1, about),
    section('name'),
    `koi \\- ${escapeRoff(withoutPeriod(program.description()))}\n`,
    section('synopsis'),
    `${bold('koi')} \\fIcommand\\fR [\\fIoptions\\fR]\n`,
    section('description'),
    `${escapeRoff(program.description())}\n`,
    section('commands'),
    ...commands.map((command) => tagged(pageName(command), escapeRoff(command.description()))),
    section('options'),
    ...optionsOf(program).map(describeOption),
    ...afterHelpSections(program),
    seeAlso(['koi.yaml(5)', ...commands.map((command) => `koi-${command.name()}(1)`)]),
  ].join('');
}

function commandPage(program: Command, command: Command, all: readonly Command[], about: PageAbout): string {
  const name = `koi-${command.name()}`;
  const operands = command.registeredArguments.map((argument) => {
    const word = `\\fI${escapeRoff(argument.name())}\\fR${argument.variadic ? '...' : ''}`;
    return argument.required ? word : `[${word}]`;
  });
  const demanded = command.options.filter(({ mandatory }) => mandatory).map((option) => flagsOf(option));
  const words = [bold(`koi ${command.name()}`), ...operands, ...demanded, '[\\fIoptions\\fR]'];
  const described = command.registeredArguments.filter(({ description }) => description !== '');
  return [
    titleLine(name, 1, about),
    section('name'),
    `${escapeRoff(name)} \\- ${escapeRoff(command.description())}\n`,
    section('synopsis'),
    `${words.join(' ')}\n`,
    ...(described.length === 0
      ? []
      : [
          section('arguments'),
          ...described.map((each) => tagged(`\\fI${escapeRoff(each.name())}\\fR`, escapeRoff(each.description))),
        ]),
    section('options'),
    ...optionsOf(command).map(describeOption),
    ...afterHelpSections(command),
    section('exit status'),
    ...exitStatuses(program).map(({ code, meaning }) => tagged(bold(code), escapeRoff(meaning))),
    seeAlso(['koi(1)', 'koi.yaml(5)', ...neighbours(command, all)]),
  ].join('');
}

const withoutPeriod = (text: string): string => text.replace(/\.$/, '');
const pageName = (command: Command): string => bold(`koi-${command.name()}(1)`);

/** Every option that is shown, with the one that prints the help. */
export function optionsOf(command: Command): Option[] {
  return [...command.createHelp().visibleOptions(command)];
}

function flagsOf({ short, long, flags }: Option): string {
  const value = /[<[][^>\]]+[>\]]/.exec(flags)?.[0];
  const names = [short, long].filter((name) => name !== undefined && name !== null).map(bold);
  if (value === undefined) return names.join(', ');
  const word = `\\fI${escapeRoff(value.slice(1, -1))}\\fR`;
  return `${names.join(', ')} ${value.startsWith('[') ? `[${word}]` : word}`;
}

function describeOption(option: Option): string {
  const fallback = option.defaultValue === undefined ? '' : ` (default: ${String(option.defaultValue)})`;
  return tagged(flagsOf(option), escapeRoff(`${option.description}${fallback}`));
}

/** What `--help` prints after the options. */
export function afterHelp(command: Command): string {
  let text = '';
  // Commander's own way to say what follows the options; its types do not tell that a command is an emitter.
  const emitter = command as Command & NodeJS.EventEmitter;
  emitter.emit('afterHelp', {
    error: false,
    command,
    write: (part: string) => {
      text += part;
    },
  });
  return text.trim();
}

/** Its paragraphs: those with a heading line become sections, what is indented stands as it is. */
function afterHelpSections(command: Command): string[] {
  const parts: string[] = [];
  let isDescribing = false;
  for (const paragraph of afterHelp(command).split(/\n{2,}/)) {
    if (paragraph.trim() === '') continue;
    const [first = '', ...rest] = paragraph.split('\n');
    const isHeaded = /^[A-Z][^.]*:$/.test(first) && rest.length > 0;
    if (isHeaded) {
      parts.push(section(first.slice(0, -1)), literal(undented(rest)));
      isDescribing = false;
      continue;
    }
    if (!isDescribing) parts.push(section(parts.length === 0 ? 'description' : 'notes'));
    else parts.push('.PP\n');
    isDescribing = true;
    parts.push(/^\s/.test(first) ? literal(paragraph) : `${escapeRoff(paragraph)}\n`);
  }
  return parts;
}

function undented(lines: readonly string[]): string {
  const width = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(width)).join('\n');
}

/** The exit codes are the same for every command, and the program's own help lists them. */
function exitStatuses(program: Command): { readonly code: string; readonly meaning: string }[] {
  return [...afterHelp(program).matchAll(/^ +(\d+) +(.+)$/gm)].map(([, code = '', meaning = '']) => ({
    code,
    meaning,
  }));
}

/** Commands that the help of this one mentions. */
function neighbours(command: Command, all: readonly Command[]): string[] {
  const text = afterHelp(command);
  return all
    .filter((other) => other !== command && new RegExp(`koi ${other.name()}\\b`).test(text))
    .map((other) => `koi-${other.name()}(1)`);
}

const seeAlso = (pages: readonly string[]): string => `${section('see also')}${pages.map(bold).join(', ')}\n`;
