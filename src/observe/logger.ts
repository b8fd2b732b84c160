import { destination, type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { KoiError } from '../koi-error.js';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

const secretKeys = ['password', 'token', 'seed', 'secret', 'lanKey', 'credentials', 'authorization'];
const depths = ['', '*.', '*.*.', '*.*.*.', '*.*.*.*.'];

export interface LoggerOptions {
  /** Which process of koi speaks: `agent`, `dataplane`, `run`. */
  readonly process: string;
  readonly level: LogLevel;
  /** Where a write may not hold the caller up (the dataplane): lines are buffered, the last ones are lost in a crash. */
  readonly buffered?: boolean;
  /** For tests; otherwise standard error. */
  readonly stream?: NodeJS.WritableStream;
  /** For tests; otherwise whether standard error is a terminal. */
  readonly terminal?: boolean;
}

/**
 * The one logger: JSON lines on standard error, readable lines where that is a terminal. Times are RFC 3339; values
 * under keys that name secrets are never written.
 */
export function createLogger(options: LoggerOptions): Logger {
  const sync = options.buffered !== true;
  const terminal = options.terminal ?? (options.stream === undefined && process.stderr.isTTY === true);
  const stream = terminal
    ? pretty({
        destination: options.stream ?? 2,
        sync,
        colorize: (process.env.NO_COLOR ?? '') === '',
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'pid,hostname',
        singleLine: true,
      })
    : (options.stream ?? destination({ fd: 2, sync }));
  return pino(
    {
      level: options.level,
      base: { process: options.process, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: depths.flatMap((depth) => secretKeys.map((key) => `${depth}${key}`)), censor: '[secret]' },
    },
    stream,
  );
}

/**
 * The level asked for: by option, else by KOI_LOG_LEVEL, else `info`.
 *
 * @throws KoiError 'usage' where it is no level
 */
export function readLogLevel(option: string | undefined, environment: NodeJS.ProcessEnv = process.env): LogLevel {
  const given = option ?? environment.KOI_LOG_LEVEL;
  if (given === undefined || given === '') return 'info';
  const level = logLevels.find((each) => each === given);
  if (level !== undefined) return level;
  throw new KoiError('usage', `${option === undefined ? 'KOI_LOG_LEVEL' : '--log-level'}: '${given}' is not a level`, {
    remedy: `write one of ${logLevels.join(', ')}`,
  });
}
