import { closeSync, openSync } from 'node:fs';
import type { Command } from 'commander';
import { logLevels } from '../observe/logger.js';
import { reportError } from './report-error.js';

export interface DaemonOptions {
  readonly config: string;
  readonly logLevel?: string;
}

export function addDaemonOptions(command: Command): Command {
  return command
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--log-level <level>', `one of ${logLevels.join(', ')} (default: KOI_LOG_LEVEL, else info)`);
}

export type DaemonRole = 'run' | 'agent' | 'dataplane' | 'log-server' | 'witness';

/** Set by `koi run` for its children: they end when their standard input does, since then `koi run` is gone. */
export const supervisedVariable = 'KOI_SUPERVISED';

export const isSupervised = (): boolean => process.env[supervisedVariable] !== undefined;

/** Why a daemon process is to end. */
export type EndReason = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'the end of koi run';

/**
 * Resolves when the process is asked to end: by a signal, or by the end of the supervisor.
 *
 * A terminal sends Ctrl-C and its own end to every process at once. Under `koi run` these two are left to it, since it
 * ends the processes in their order. A SIGHUP while the terminal is still there, or where there never was one, asks for a
 * reload and ends nothing.
 */
export function askedToEnd(): Promise<EndReason> {
  return new Promise((resolve) => {
    process.on('SIGTERM', () => resolve('SIGTERM'));
    process.on('SIGINT', () => {
      if (!isSupervised()) resolve('SIGINT');
    });
    process.on('SIGHUP', () => {
      if (!isSupervised() && hasLostTerminal()) resolve('SIGHUP');
    });
    if (!isSupervised()) return;
    process.stdin.on('end', () => resolve('the end of koi run'));
    process.stdin.on('error', () => resolve('the end of koi run'));
    process.stdin.resume();
  });
}

/** Runs `reload` at each SIGHUP that is not the end of the terminal. */
export function askedToReload(reload: () => void): void {
  process.on('SIGHUP', () => {
    if (!hasLostTerminal()) reload();
  });
}

const hadTerminal = hasTerminal();

const hasLostTerminal = (): boolean => hadTerminal && !hasTerminal();

/** Whether there is a terminal that controls this process: tty(4). */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a daemon to its end and ends the process with the exit code of the contract, whatever it still holds open: a
 * daemon that could not start must not stay.
 *
 * @param run resolves with the exit code
 */
export async function endWith(role: DaemonRole, run: () => Promise<number>): Promise<never> {
  try {
    return process.exit(await run());
  } catch (error) {
    return process.exit(reportError(error, role));
  }
}
