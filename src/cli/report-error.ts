import { CommanderError } from 'commander';
import { KoiError } from '../koi-error.js';
import { paint } from './paint.js';

/**
 * Writes an error to stderr, `koi: <what failed>` and `  → <what to do>`.
 *
 * @param command the subcommand whose help may explain a wrong usage
 * @returns the exit code of the contract
 */
export function reportError(error: unknown, command?: string): number {
  const colours = paint(process.stderr);
  const print = (message: string, remedy: string | undefined): void => {
    process.stderr.write(`${colours.red('koi:')} ${message}\n`);
    if (remedy !== undefined) process.stderr.write(`  → ${remedy}\n`);
  };
  if (error instanceof CommanderError) {
    const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
    print(
      message,
      suggestion?.replace(/^\((.*)\)$/, '$1') ?? `koi ${command === undefined ? '' : `${command} `}--help`,
    );
    return 2;
  }
  if (error instanceof KoiError) {
    print(error.message, error.remedy);
    return error.exitCode;
  }
  print(`internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, undefined);
  return 1;
}
