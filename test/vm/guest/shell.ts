import { spawn, spawnSync } from 'node:child_process';

const limitMs = 60_000;

/** Runs a command line and returns what it printed. @throws Error with its words where it fails */
export function sh(command: string): string {
  const run = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: limitMs });
  if (run.status !== 0)
    throw new Error(`${command}: ${(run.stderr || run.stdout || String(run.error ?? run.signal)).trim()}`);
  return run.stdout;
}

/** The same, where failing is an answer. */
export function attempt(command: string): { readonly ok: boolean; readonly said: string } {
  const run = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: limitMs });
  return { ok: run.status === 0, said: `${run.stdout}${run.stderr}`.trim() };
}

/** Starts a command; resolves when it has ended, within the deadline. */
export function start(command: string, deadlineMs = limitMs): Promise<{ readonly ok: boolean; readonly said: string }> {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const add = (chunk: Buffer): void => {
      said += chunk.toString();
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    const timer = setTimeout(() => {
      said += ` (still running after ${deadlineMs / 1000} s)`;
      child.kill('SIGKILL');
      resolve({ ok: false, said });
    }, deadlineMs);
    child.on('exit', (code) => {
      clearTimeout(timer);
      resolve({ ok: code === 0, said: said.trim() });
    });
  });
}
