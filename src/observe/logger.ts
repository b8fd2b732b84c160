import { destination, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { KoiError } from '../koi-error.js';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

const secretKeys = new Set(['password', 'token', 'seed', 'secret', 'lanKey', 'credentials', 'authorization']);
/** So deep is looked for them; nothing that is logged is deeper. */
const depthMost = 8;

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
  const logger: Logger = pino(
    {
      level: options.level,
      base: { process: options.process, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (line) => withoutSecrets(line, 0) as Record<string, unknown>,
      },
      serializers: { err: (error: Error) => withoutSecrets(stdSerializers.err(error), 1) },
    },
    stream,
  );
  // What a child is bound to goes through no formatter; its children inherit this.
  const { child } = logger;
  Object.assign(logger, {
    child(this: Logger, bound: object, more?: object): Logger {
      return Reflect.apply(child, this, [withoutSecrets(bound, 0), more]) as Logger;
    },
  });
  return logger;
}

/**
 * The value itself, where nothing is to be hidden: a takeover waits for the lines it writes, and pino's own `redact` takes
 * 28 µs for each of them, and 180 µs for the first.
 */
function withoutSecrets(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || depth === depthMost) return value;
  const fields = value as Record<string, unknown>;
  let copy: Record<string, unknown> | undefined;
  for (const key of Object.keys(fields)) {
    const field = fields[key];
    // An error is made readable first, which is its serializer's.
    if (depth === 0 && key === 'err') continue;
    const shown = secretKeys.has(key) ? '[secret]' : withoutSecrets(field, depth + 1);
    if (shown === field) continue;
    copy ??= (Array.isArray(value) ? [...value] : { ...fields }) as Record<string, unknown>;
    copy[key] = shown;
  }
  return copy ?? value;
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
