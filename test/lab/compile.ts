import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Compiles one of the lab's C programs, once per content.
 *
 * @returns the path of the program
 * @throws Error with the compiler's own words
 */
export function compile(sourceDirectory: string, name: string, outputDirectory: string): string {
  const source = join(sourceDirectory, `${name}.c`);
  const digest = createHash('sha256');
  for (const file of [source, join(sourceDirectory, 'netns.h')]) digest.update(readFileSync(file));
  const program = join(outputDirectory, `${name}-${digest.digest('hex').slice(0, 12)}`);
  if (existsSync(program)) return program;

  mkdirSync(outputDirectory, { recursive: true });
  // Renamed into place, so that two labs starting at once never run half a program.
  const unfinished = `${program}.${process.pid}`;
  const compiler = process.env.CC ?? 'cc';
  const built = spawnSync(compiler, ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-o', unfinished, source, '-lpthread'], {
    encoding: 'utf8',
  });
  if (built.status !== 0) {
    throw new Error(
      `${compiler} cannot compile ${source}: ${built.stderr || (built.error?.message ?? 'no reason given')}`,
    );
  }
  renameSync(unfinished, program);
  return program;
}
