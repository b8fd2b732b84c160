import { Command, CommanderError } from 'commander';
import { didYouMean } from '../config/did-you-mean.js';
import { KoiError } from '../koi-error.js';
import { buildInfo } from '../observe/build-info.js';
import type { CommandEntry } from './command.js';
import { reportError } from './report-error.js';

const exitCodesHelp = `
Exit codes:
  0  fine
  1  the thing asked about is not so: a failed check, an unhealthy state
  2  wrong usage or configuration
  3  not enough privilege
  4  cannot reach the daemon or the log
`;

/**
 * The program with all its commands. A command has its options and its help only where it is `wanted`: loading one brings
 * in everything that it needs.
 */
export async function defineProgram(
  entries: readonly CommandEntry[],
  wanted: (name: string) => boolean,
): Promise<Command> {
  const program = new Command('koi')
    .description('Keeps virtual IP addresses alive on a LAN: VRRP and CARP, arbitrated and explained by an event log.')
    .version(buildInfo().version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help, or that of a command')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', exitCodesHelp)
    .exitOverride()
    .configureOutput({ outputError: () => undefined, getErrHelpWidth: () => 100, getOutHelpWidth: () => 100 });
  for (const { name, summary, load } of entries) {
    const command = program
      .command(name)
      .description(summary)
      .helpOption('-h, --help', 'print this help')
      .showSuggestionAfterError();
    if (wanted(name)) (await load()).define(command);
  }
  return program;
}

/**
 * Runs one command line.
 *
 * @param args without the program's own name
 * @returns the exit code; errors are already on stderr
 */
export async function runCommandLine(args: readonly string[], entries: readonly CommandEntry[]): Promise<number> {
  const asked = args[0] === 'help' ? args[1] : args.find((arg) => !arg.startsWith('-'));
  const program = await defineProgram(entries, (name) => name === asked);

  // Without a command there is nothing to do: the help is the answer, and the exit code says that it was no success.
  if (args.length === 0) {
    program.outputHelp({ error: true });
    return 2;
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // The help of a command that needs a subcommand has been printed, and says all.
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    const missing = error instanceof CommanderError && error.code === 'commander.missingMandatoryOptionValue';
    const strange = missing ? unknownOption(program, asked, args) : undefined;
    return reportError(
      strange ?? error,
      asked !== undefined && entries.some(({ name }) => name === asked) ? asked : undefined,
    );
  }
}

/** A misspelled option that must be there is told as what it is, and not as one that is missing. */
function unknownOption(program: Command, name: string | undefined, args: readonly string[]): KoiError | undefined {
  const command = program.commands.find((each) => each.name() === name);
  const known = ['-h', '--help', ...(command?.options ?? []).flatMap(({ short, long }) => [short, long])].filter(
    (option) => option !== undefined,
  );
  const strange = args
    .map((word) => word.split('=')[0] ?? '')
    .find((word) => /^--\w/.test(word) && !known.includes(word));
  if (strange === undefined) return undefined;
  const meant = didYouMean(strange, known);
  const remedy = meant === undefined ? `koi ${name} --help` : `did you mean ${meant}?`;
  return new KoiError('usage', `unknown option '${strange}'`, { remedy });
}
