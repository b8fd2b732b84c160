import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elfArchitecture } from '../../packaging/deb/elf.js';
import { packageFor } from './packages.js';

/*
 * The package for arm64, made on another machine: what is compiled in it is for arm64, and runs. The second needs qemu-user
 * and the libraries that come with the cross compiler.
 */

const libraries = '/usr/aarch64-linux-gnu';
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const canBuild = has('aarch64-linux-gnu-g++') && has('dpkg-deb');
const canRun = has('qemu-aarch64') && spawnSync('ls', [join(libraries, 'lib/libstdc++.so.6')]).status === 0;
if (!canBuild) process.stderr.write('the package for arm64 is not made: apt-get install g++-aarch64-linux-gnu\n');
else if (!canRun) process.stderr.write('the package for arm64 is not run: apt-get install qemu-user\n');

describe.skipIf(!canBuild || process.arch === 'arm64')('the package for arm64', { timeout: 120_000 }, () => {
  let tree: string;
  beforeAll(() => {
    const path = process.env.KOI_DEB_ARM64 ?? packageFor('arm64');
    tree = mkdtempSync(join(tmpdir(), 'koi-arm64-'));
    execFileSync('dpkg-deb', ['-R', path, tree]);
  }, 600_000);
  afterAll(() => {
    if (tree !== undefined) rmSync(tree, { recursive: true, force: true });
  });

  it('holds what is compiled for arm64, and nothing that is compiled for anything else', () => {
    const files = readdirSync(tree, { recursive: true, encoding: 'utf8' }).map((name) => join(tree, name));
    const compiled = files
      .filter((file) => statSync(file).isFile())
      .map((file) => [relative(tree, file), elfArchitecture(readFileSync(file))] as const)
      .filter(([, architecture]) => architecture !== undefined);
    expect(Object.fromEntries(compiled)).toEqual({
      'usr/lib/koi/bin/node': 'arm64',
      'usr/lib/koi/bin/nats-server': 'arm64',
      'usr/lib/koi/build/Release/koi_kernel.node': 'arm64',
      'usr/lib/koi/build/Release/koi-guard': 'arm64',
      'usr/lib/koi/node_modules/raw-socket/build/Release/raw.node': 'arm64',
    });
    expect(readFileSync(join(tree, 'DEBIAN/control'), 'utf8')).toMatch(/^Architecture: arm64$/m);
  });

  it.skipIf(!canRun)('runs: Koi, its addons, its guard and its nats-server', () => {
    const library = join(tree, 'usr/lib/koi');
    const emulated = (program: string, ...args: string[]) =>
      spawnSync('qemu-aarch64', ['-L', libraries, join(library, program), ...args], { encoding: 'utf8', cwd: library });
    const addons = "require('./build/Release/koi_kernel.node'); require('raw-socket'); console.log(process.arch)";
    expect(emulated('bin/node', '-e', addons)).toMatchObject({ status: 0, stdout: 'arm64\n' });
    const example = fileURLToPath(new URL('../../packaging/deb/koi.yaml', import.meta.url));
    const checked = emulated('bin/node', 'dist/cli/main.js', 'check', '-c', example);
    expect(checked).toMatchObject({ status: 0 });
    expect(emulated('build/Release/koi-guard').stderr).toContain('is started by koi dataplane');
    expect(emulated('bin/nats-server', '--version').stdout).toMatch(/^nats-server: v2/);
  });
});
