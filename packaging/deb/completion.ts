import type { Command, Option } from 'commander';
import { optionsOf } from './command-pages.js';

/** What completion knows of one command. */
interface Known {
  readonly name: string;
  readonly about: string;
  readonly options: readonly {
    readonly flags: readonly string[];
    readonly about: string;
    /** What follows it: nothing, a file, or something that cannot be guessed. */
    readonly value: 'none' | 'file' | 'other';
    readonly choices: readonly string[];
  }[];
  readonly takesFile: boolean;
}

const filePattern = /file|path|directory/i;

function known(command: Command): Known {
  return {
    name: command.name(),
    about: command.description(),
    options: optionsOf(command).map((option) => ({
      flags: [option.short, option.long].filter((flag) => typeof flag === 'string'),
      about: option.description,
      value: operandOf(option),
      choices: option.argChoices ?? [],
    })),
    takesFile: command.registeredArguments.some((argument) => filePattern.test(argument.name())),
  };
}

function operandOf({ flags }: Option): Known['options'][number]['value'] {
  const value = /[<[]([^>\]]+)[>\]]/.exec(flags)?.[1];
  if (value === undefined) return 'none';
  return filePattern.test(value) ? 'file' : 'other';
}

const commandsOf = (program: Command): Known[] => program.commands.map(known);
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** For bash, with or without bash-completion. */
export function bashCompletion(program: Command): string {
  const commands = commandsOf(program);
  const cases = commands.map(({ name, options, takesFile }) => {
    const words = options.flatMap(({ flags }) => flags).join(' ');
    return `    ${name}) words=${quoted(words)}; operand=${takesFile ? 'file' : "''"} ;;`;
  });
  const withFile = [...new Set(commands.flatMap(({ options }) => flagsWith(options, 'file')))];
  const withOther = [...new Set(commands.flatMap(({ options }) => flagsWith(options, 'other')))];
  return `# bash completion for koi(1); made from the program itself
_koi() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} words= operand=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W ${quoted([...commands.map(({ name }) => name), '--help', '--version'].join(' '))} -- "$current")
    return
  fi
  case $previous in
    ${withFile.join(' | ')}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    ${withOther.join(' | ')}) return ;;
  esac
  case $command in
    help) words=${quoted(commands.map(({ name }) => name).join(' '))} ;;
${cases.filter((line) => !line.startsWith('    help)')).join('\n')}
  esac
  if [[ $operand == file && $current != -* ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}
complete -F _koi koi
`;
}

function flagsWith(options: Known['options'], value: 'file' | 'other'): string[] {
  return options.filter((option) => option.value === value).flatMap(({ flags }) => flags);
}

const zshText = (text: string): string => text.replaceAll(/[\\[\]:]/g, '\\$&').replaceAll("'", "'\\''");

/** For zsh. */
export function zshCompletion(program: Command): string {
  const commands = commandsOf(program);
  const list = commands.map(({ name, about }) => `    '${name}:${zshText(about)}'`).join('\n');
  const cases = commands
    .filter(({ name }) => name !== 'help')
    .map(({ name, options, takesFile }) => {
      const lines = options.map(({ flags, about, value, choices }) => {
        const action = choices.length > 0 ? `(${choices.join(' ')})` : value === 'file' ? '_files' : ' ';
        const argument = value === 'none' ? '' : `:value:${action}`;
        const names = flags.length > 1 ? `'(${flags.join(' ')})'{${flags.join(',')}}` : `'${flags[0]}'`;
        return `${names}'[${zshText(about)}]${argument}'`;
      });
      if (takesFile) lines.push("'*:file:_files'");
      return `        ${name}) _arguments ${lines.join(' \\\n          ')} ;;`;
    });
  return `#compdef koi
# zsh completion for koi(1); made from the program itself
_koi() {
  local -a commands
  commands=(
${list}
  )
  local context state line
  _arguments -C '1:command:->command' '*::option:->option'
  case $state in
    command) _describe command commands ;;
    option)
      case $line[1] in
        help) _describe command commands ;;
${cases.join('\n')}
      esac ;;
  esac
}
_koi "$@"
`;
}

/** For fish. */
export function fishCompletion(program: Command): string {
  const commands = commandsOf(program);
  const fish = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = commands.map(
    ({ name, about }) => `complete -c koi -n __fish_use_subcommand -f -a ${name} -d ${fish(about)}`,
  );
  for (const { name, options } of commands) {
    for (const { flags, about, value, choices } of options) {
      const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const argument =
        value === 'none'
          ? ''
          : choices.length > 0
            ? ` -x -a ${fish(choices.join(' '))}`
            : value === 'file'
              ? ' -r -F'
              : ' -x';
      lines.push(
        `complete -c koi -n '__fish_seen_subcommand_from ${name}' ${names.join(' ')}${argument} -d ${fish(about)}`,
      );
    }
  }
  return `# fish completion for koi(1); made from the program itself\n${lines.join('\n')}\n`;
}
