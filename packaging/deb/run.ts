import { spawnSync } from 'node:child_process';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs a program to its end. @returns its standard output @throws Error with what it said where it fails */
export function run(program: string, args: readonly string[], { cwd, env }: RunOptions = {}): string {
  const ran = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
  });
  if (ran.error !== undefined) throw new Error(`${program} could not be run: ${ran.error.message}`);
  if (ran.status === 0) return ran.stdout;
  throw new Error(`${program} ${args.join(' ')} failed (${ran.signal ?? ran.status}):\n${ran.stdout}${ran.stderr}`);
}

export const isInstalled = (program: string): boolean =>
  spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0;
