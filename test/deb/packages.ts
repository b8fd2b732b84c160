import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const ownArchitecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

/** The package of this checkout, built as `npm run deb` does it, or the one that KOI_DEB names. @returns its path */
export const thePackage = (): string => process.env.KOI_DEB ?? packageFor(ownArchitecture);

/** The package of this checkout for an architecture. @returns its path */
export function packageFor(architecture: 'amd64' | 'arm64'): string {
  const builder = join(root, 'node_modules/tsx/dist/cli.mjs');
  const said = execFileSync(process.execPath, [builder, 'packaging/deb/main.ts', architecture], {
    cwd: root,
    env: { ...process.env, KOI_DEB_COMPRESSION: 'zstd' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const path = /^\S+\.deb/m.exec(said)?.[0];
  if (path === undefined) throw new Error(`npm run deb names no package: ${said}`);
  return join(root, path);
}

/** The same package as the next version, to upgrade to: version and build are all that differs. */
export function nextVersionOf(path: string, output: string): string {
  const tree = mkdtempSync(join(tmpdir(), 'koi-deb-next-'));
  try {
    execFileSync('dpkg-deb', ['-R', path, tree]);
    const change = (file: string, from: RegExp, to: string): void => {
      const text = readFileSync(join(tree, file), 'utf8');
      if (!from.test(text)) throw new Error(`${file} of ${path} has no version`);
      writeFileSync(join(tree, file), text.replace(from, to));
    };
    change('DEBIAN/control', /^Version: .*$/m, `Version: ${nextVersion}`);
    change('usr/lib/koi/package.json', /"version": "[^"]*"/, `"version": "${nextVersion}"`);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, output], { stdio: 'ignore' });
    return output;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

export const nextVersion = '99.0.0';
