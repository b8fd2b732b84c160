import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = fileURLToPath(new URL('../../src/kernel/native/', import.meta.url));

/** Compiles the guard as it stands in the sources, every warning an error; returns its path. */
export function compileGuard(directory: string): string {
  const binary = join(directory, 'koi-guard');
  const sources = ['guard.c', 'guard-fence.c', 'guard-netns.c', 'guard-registry.c'].map((file) => join(native, file));
  const flags = (process.env.KOI_GUARD_CFLAGS ?? '-O2').split(' ');
  const strict = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wpedantic', '-Werror'];
  execFileSync('cc', [...strict, ...flags, '-o', binary, ...sources]);
  return binary;
}
