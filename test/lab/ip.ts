import { spawn, spawnSync } from 'node:child_process';
import { nowMs } from './clock.js';

/** Runs a command and returns what it printed; throws with its own words when it fails. */
export function run(command: string, args: readonly string[], options: { input?: string } = {}): string {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 20_000, ...options });
  if (done.status !== 0) {
    const said = `${done.stderr ?? ''}${done.error?.message ?? ''}`.trim();
    throw new Error(`${command} ${args.join(' ')}: ${said || `exit ${done.status ?? done.signal}`}`);
  }
  return done.stdout;
}

/** Many `ip` commands in one process; `namespace` undefined means where the lab itself runs. */
export function ipBatch(namespace: string | undefined, lines: readonly string[]): void {
  const where = namespace === undefined ? [] : ['-n', namespace];
  run('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/**
 * Runs a command without stopping the lab's own loop, for the moments that are measured.
 *
 * @returns when the command was started and when it ended
 */
export function runTimed(command: string, args: readonly string[]): Promise<{ startedMs: number; endedMs: number }> {
  return new Promise((resolve, reject) => {
    const startedMs = nowMs();
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve({ startedMs, endedMs: nowMs() });
      else reject(new Error(`${command} ${args.join(' ')}: ${said.trim() || `exit ${code}`}`));
    });
  });
}
