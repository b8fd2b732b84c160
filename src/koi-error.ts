/** The stable code of an error: what scripts and tests compare, and what decides the exit code. */
export type KoiErrorCode =
  | 'usage'
  | 'config'
  | 'privilege'
  | 'unreachable'
  | 'kernel'
  | 'attach'
  | 'log'
  | 'protocol'
  | 'timeout'
  | 'internal';

/** Exit codes of every command, fixed by the contract: 0 fine, 1 not so, 2 usage, 3 privilege, 4 unreachable. */
const exitCodes: Readonly<Record<KoiErrorCode, number>> = {
  usage: 2,
  config: 2,
  privilege: 3,
  unreachable: 4,
  kernel: 1,
  attach: 1,
  log: 4,
  protocol: 1,
  timeout: 1,
  internal: 1,
};

/**
 * The one error type that crosses a boundary. `message` says what failed and on which object; `remedy`, where there is
 * one, says what the operator can do about it.
 */
export class KoiError extends Error {
  override readonly name = 'KoiError';
  readonly code: KoiErrorCode;
  readonly remedy: string | undefined;

  constructor(code: KoiErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy;
  }

  get exitCode(): number {
    return exitCodes[this.code];
  }
}
