import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { KoiConfig } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { formatProblem } from '../config/problem.js';
import { createLogger, logLevels, readLogLevel } from '../observe/logger.js';

export interface DaemonOptions {
  readonly config: string;
  readonly logLevel?: string;
}

export function addDaemonOptions(command: Command): Command {
  return command
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--log-level <level>', `one of ${logLevels.join(', ')} (default: KOI_LOG_LEVEL, else info)`);
}

/** What every daemon process begins with: its name in the process list, its logger, its configuration. */
export function beginDaemon(
  role: 'run' | 'agent' | 'dataplane',
  options: DaemonOptions,
): { readonly config: KoiConfig; readonly log: Logger } {
  process.title = `koi ${role}`;
  const { config, warnings } = loadConfig(options.config);
  const level = readLogLevel(options.logLevel);
  const log = createLogger({ process: role, level, buffered: role === 'dataplane' }).child({ node: config.node });
  if (role === 'run') {
    for (const warning of warnings) log.warn({ remedy: warning.remedy }, formatProblem(options.config, warning));
  }
  return { config, log };
}

/** Set by `koi run` for its children: they end when their standard input does, since then `koi run` is gone. */
export const supervisedVariable = 'KOI_SUPERVISED';

/** Resolves when the process is asked to end: SIGTERM, SIGINT, or the end of the supervisor. */
export function askedToEnd(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
    if (process.env[supervisedVariable] === undefined) return;
    process.stdin.on('end', () => resolve('the end of koi run'));
    process.stdin.on('error', () => resolve('the end of koi run'));
    process.stdin.resume();
  });
}
