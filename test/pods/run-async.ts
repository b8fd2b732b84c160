import { execFile } from 'node:child_process';

/** How a command ended, and what it said on both streams. */
export interface Finished {
  readonly code: number;
  readonly said: string;
}

/** Runs a command without holding up whoever measures meanwhile; it does not reject. */
export function runAsync(
  command: string,
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
  timeoutMs = 60_000,
): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(command, words, { env: environment, timeout: timeoutMs }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), said: `${stdout}${stderr}` });
    });
  });
}
