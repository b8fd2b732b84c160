import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface BuiltKoi {
  /** What node runs. */
  readonly main: string;
  remove(): void;
}

/**
 * Compiles the checkout's sources as they are now into a directory of its own: what is tested is never an older dist/,
 * and nobody's build under way disturbs it. Readable by every user, since some commands are tried without privilege.
 */
export function buildKoi(): BuiltKoi {
  const directory = mkdtempSync(join(tmpdir(), 'koi-built-'));
  chmodSync(directory, 0o755);
  for (const name of ['node_modules', 'build']) symlinkSync(join(root, name), join(directory, name));
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const arguments_ = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', join(directory, 'dist')];
  const built = spawnSync(process.execPath, arguments_, { encoding: 'utf8' });
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  if (built.status !== 0) {
    remove();
    throw new Error(`koi does not compile:\n${built.stdout}${built.stderr}`);
  }
  return { main: join(directory, 'dist/cli/main.js'), remove };
}
