import { spawn } from 'node:child_process';
import type { CommandOutcome } from './runner-protocol.js';
import { findUser } from './user.js';

export interface CommandOrder {
  readonly command: readonly string[];
  readonly user: string | undefined;
  readonly timeoutMs: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Ends it at once, with all that it has started. */
  readonly ended?: AbortSignal;
}

export interface CommandResult {
  readonly outcome: CommandOutcome;
  /** The beginning of what it wrote, at most `outputBytesMax`. */
  readonly output: string;
}

export const outputBytesMax = 1_024;
/** How long a command gets to end after SIGTERM. */
const killAfterMs = 200;
/** How long the rest of the output is waited for, where a process that was left behind holds the pipe. */
const lingerMs = 20;

/** Nothing of the daemon's own environment, which may hold secrets of its configuration. */
const bareEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

/**
 * Runs a command without a shell, in `/`, in a process group of its own that is killed at the deadline. Never rejects:
 * what went wrong is the outcome.
 */
export async function runCommand(order: CommandOrder): Promise<CommandResult> {
  try {
    return await run(order, await findUser(order.user));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { outcome: { kind: 'not_started', why }, output: '' };
  }
}

function run(order: CommandOrder, user: Awaited<ReturnType<typeof findUser>>): Promise<CommandResult> {
  const [program = '', ...args] = order.command;
  const { timeoutMs } = order;
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: '/',
      detached: true,
      env: { ...bareEnvironment, ...order.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...user,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isLate = false;
    let kill: NodeJS.Timeout | undefined;

    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        // Read on, so that a talkative command does not block, but keep no more of it.
        if (bytes < outputBytesMax) chunks.push(chunk.subarray(0, outputBytesMax - bytes));
        bytes += chunk.length;
      });
      stream.on('error', () => undefined);
    }
    const signalGroup = (signal: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // The whole group is gone.
      }
    };
    const end = (): void => signalGroup('SIGKILL');
    order.ended?.addEventListener('abort', end);
    const deadline = setTimeout(() => {
      isLate = true;
      signalGroup('SIGTERM');
      kill = setTimeout(() => signalGroup('SIGKILL'), killAfterMs);
    }, timeoutMs);
    const finish = (outcome: CommandOutcome): void => {
      clearTimeout(deadline);
      clearTimeout(kill);
      order.ended?.removeEventListener('abort', end);
      if (isLate) signalGroup('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      const output = Buffer.concat(chunks).toString('utf8').trim();
      resolve({ outcome: isLate ? { kind: 'timeout', timeoutMs } : outcome, output });
    };
    child.once('error', (error) => finish({ kind: 'not_started', why: error.message }));
    child.once('exit', (code, signal) => {
      const outcome: CommandOutcome =
        signal === null ? { kind: 'exited', code: code ?? 1 } : { kind: 'killed', signal };
      const linger = setTimeout(() => finish(outcome), lingerMs);
      child.once('close', () => {
        clearTimeout(linger);
        finish(outcome);
      });
    });
  });
}
