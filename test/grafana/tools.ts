import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where a program is, or undefined where this machine has none. */
export function programPath(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Runs promtool, or amtool, and returns all it said; throws with that where it is not content. */
export function promtool(path: string, words: readonly string[], input = ''): string {
  const ran = spawnSync(path, words, { encoding: 'utf8', input, timeout: 120_000, maxBuffer: 64 << 20 });
  const said = `${ran.stdout}${ran.stderr}`;
  if (ran.status !== 0) throw new Error(`${path} ${words.join(' ')}: ${said.slice(0, 20_000)}`);
  return said;
}
