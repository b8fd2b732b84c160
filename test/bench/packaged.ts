import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Architecture, architectures, nodeVersion } from '../../packaging/deb/architecture.js';
import { compileNative, fetchNode, hasNode, type NativeParts } from '../../packaging/deb/parts.js';
import type { KoiProgram } from '../lab/koi.js';
import { outputDirectory, root } from '../lab/lab.js';

/** Koi cannot be run as it is shipped; the message names the cause and what to do. */
export class NotStagedError extends Error {
  override readonly name = 'NotStagedError';
}

/** Where Koi is put, and where what is made for its Node comes from. */
export interface Staging {
  readonly checkout: string;
  /**
   * Below the checkout: whatever is not found here comes from its node_modules. Node looks at where a file really is, so
   * that `dist` has to be a copy if it is to find this raw-socket and not the checkout's.
   */
  readonly tree: string;
  /** @returns the folder with bin/ and include/ */
  fetchNode(): string;
  compileNative(node: string, work: string): NativeParts;
}

/**
 * This checkout's Koi for the Node of the package, staged in .lab/packaged.
 *
 * @param say is told of what takes long
 * @throws NotStagedError
 */
export function stagePackaged(say: (text: string) => void): KoiProgram {
  return stage({
    checkout: root,
    tree: join(outputDirectory, 'packaged'),
    fetchNode: () => {
      const architecture = ownArchitecture();
      if (!hasNode(architecture)) say(`fetching Node ${nodeVersion}, which the package brings, with npm`);
      return fetchNode(architecture);
    },
    compileNative: (node, work) => {
      say(`compiling the kernel binding, the guard and raw-socket for Node ${nodeVersion}`);
      return compileNative(ownArchitecture(), root, node, work);
    },
  });
}

function ownArchitecture(): Architecture {
  const found = architectures.find(({ node }) => node === process.arch);
  if (found === undefined) throw new Error(`there is no package for ${process.arch}`);
  return found;
}

/**
 * Copies what is built, and compiles what is bound to a Node where its sources have changed.
 *
 * @throws NotStagedError
 */
export function stage(staging: Staging): KoiProgram {
  const { checkout, tree } = staging;
  const dist = join(tree, 'dist');
  try {
    const node = staging.fetchNode();
    putNative(staging, node);
    rmSync(dist, { recursive: true, force: true });
    for (const name of ['package.json', 'dist']) cpSync(join(checkout, name), join(tree, name), { recursive: true });
    return { node: join(node, 'bin/node'), dist };
  } catch (error) {
    throw new NotStagedError(
      `Koi cannot be run on Node ${nodeVersion}, which the package brings: ` +
        `${error instanceof Error ? error.message.trim() : String(error)}\n` +
        `Mend that, or measure it on the Node that runs this (${process.version}) with --node this`,
      { cause: error },
    );
  }
}

function putNative(staging: Staging, node: string): void {
  const { checkout, tree } = staging;
  const stamp = join(tree, 'compiled-from');
  const sources = digestOf(checkout);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === sources) return;
  rmSync(tree, { recursive: true, force: true });
  const work = mkdtempSync(join(tmpdir(), 'koi-bench-native-'));
  try {
    const parts = staging.compileNative(node, work);
    for (const part of [parts.binding, parts.guard]) cpSync(part, join(tree, 'build/Release', basename(part)));
    const rawSocket = join(tree, 'node_modules/raw-socket');
    for (const name of ['package.json', 'index.js']) {
      cpSync(join(checkout, 'node_modules/raw-socket', name), join(rawSocket, name));
    }
    cpSync(parts.rawSocket, join(rawSocket, 'build/Release', basename(parts.rawSocket)));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  // The last thing, so that what was broken off is done again.
  writeFileSync(stamp, sources);
}

/** Of all that the compiled parts are made of; a module is what its version says. */
function digestOf(checkout: string): string {
  const native = 'src/kernel/native';
  const sources = readdirSync(join(checkout, native)).map((name) => join(native, name));
  const modules = ['raw-socket', 'nan'].map((name) => join('node_modules', name, 'package.json'));
  const digest = createHash('sha256').update(nodeVersion);
  for (const path of ['binding.gyp', ...sources.sort(), ...modules]) {
    digest.update(`\0${path}\0`).update(readFileSync(join(checkout, path)));
  }
  return digest.digest('hex');
}
