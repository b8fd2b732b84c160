import { openSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** A new file, readable by its owner alone; what lay under the name, a symbolic link, is not written through. */
export function openAnew(file: string): number {
  rmSync(file, { force: true });
  return openSync(file, 'wx', 0o600);
}

/** Never readable by others, not even for a moment: a new file, then in place of the old one. */
export function writePrivately(file: string, text: string): void {
  rmSync(`${file}.new`, { force: true });
  writeFileSync(`${file}.new`, text, { mode: 0o600, flag: 'wx' });
  renameSync(`${file}.new`, file);
}
