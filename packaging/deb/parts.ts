import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Architecture, natsVersion, nodeAbi, nodeVersion } from './architecture.js';
import { isInstalled, run } from './run.js';

/*
 * What of the package is made for one architecture. Downloads and nats-servers are kept in a cache: they change with their
 * version only.
 */

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'koi/deb');

const nodePackage = (architecture: Architecture): string => `node-linux-${architecture.node}`;
const nodeFolder = (architecture: Architecture): string => join(cache, `${nodePackage(architecture)}-${nodeVersion}`);

/** Whether {@link fetchNode} has it already. */
export const hasNode = (architecture: Architecture): boolean =>
  existsSync(join(nodeFolder(architecture), 'package/bin/node'));

/** The vendor's Node, as npm hands it out, checked against its known sum. @returns the folder with bin/ and include/ */
export function fetchNode(architecture: Architecture): string {
  const folder = nodeFolder(architecture);
  if (hasNode(architecture)) return join(folder, 'package');
  mkdirSync(cache, { recursive: true });
  const archive = `${folder}.tgz`;
  // Not --silent: it would not say either why it failed.
  const pack = ['pack', '--loglevel=error', `${nodePackage(architecture)}@${nodeVersion}`];
  if (!existsSync(archive)) run('npm', pack, { cwd: cache });
  const sum = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (sum !== architecture.nodeIntegrity) {
    rmSync(archive);
    throw new Error(`${archive} is not what it should be: ${sum}, expected ${architecture.nodeIntegrity}`);
  }
  const unpacked = `${folder}.${process.pid}`;
  mkdirSync(unpacked, { recursive: true });
  run('tar', ['-xzf', archive, '-C', unpacked]);
  rmSync(folder, { recursive: true, force: true });
  cpSync(unpacked, folder, { recursive: true });
  rmSync(unpacked, { recursive: true });
  return join(folder, 'package');
}

/** Builds nats-server, without cgo and for any architecture, unless it was built before. @returns its path */
export function buildNatsServer(architecture: Architecture): string {
  const kept = join(cache, `nats-server-${natsVersion}-${architecture.debian}`);
  if (existsSync(kept)) return kept;
  const go = ['go', '/usr/local/go/bin/go'].find(isInstalled);
  if (go === undefined) throw new Error('Go is needed to build the nats-server that is part of the package');
  // GOBIN is refused for another architecture; then it puts the program into a folder of the workspace.
  const workspace = join(cache, `go-${architecture.debian}`);
  const modules = run(go, ['env', 'GOMODCACHE']).trim();
  const env = {
    CGO_ENABLED: '0',
    GOOS: 'linux',
    GOARCH: architecture.go,
    GOPATH: workspace,
    GOMODCACHE: modules,
    GOFLAGS: '-trimpath',
    GOBIN: undefined,
  };
  run(go, ['install', '-ldflags', '-s -w', `github.com/nats-io/nats-server/v2@${natsVersion}`], { env });
  const built = [join(workspace, 'bin/nats-server'), join(workspace, `bin/linux_${architecture.go}/nats-server`)];
  const found = built.find(existsSync);
  if (found === undefined) throw new Error(`go install left no nats-server in ${workspace}/bin`);
  cpSync(found, kept);
  rmSync(workspace, { recursive: true });
  return kept;
}

export interface NativeParts {
  readonly binding: string;
  readonly guard: string;
  readonly rawSocket: string;
}

const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');

/** The names of the compiler's tools; on its own architecture they go without the triplet. */
export function toolOf(architecture: Architecture, name: string): string {
  return architecture.node === process.arch ? name : `${architecture.triplet}-${name}`;
}

/**
 * Compiles what is C and C++ against the headers of the Node in the package, in `work`, so that the checkout's own build
 * is left alone.
 *
 * @param node what {@link fetchNode} returned
 */
export function compileNative(architecture: Architecture, root: string, node: string, work: string): NativeParts {
  for (const name of ['gcc', 'g++', 'strip'].map((tool) => toolOf(architecture, tool))) {
    if (isInstalled(name)) continue;
    throw new Error(`${name} is missing: apt-get install ${architecture.compilerPackages.join(' ')}`);
  }
  const header = readFileSync(join(node, 'include/node/node_version.h'), 'utf8');
  const abi = /#define NODE_MODULE_VERSION (\d+)/.exec(header)?.[1];
  if (abi !== nodeAbi) throw new Error(`Node ${nodeVersion} has the ABI ${abi}, expected ${nodeAbi}`);

  const own = join(work, 'own');
  cpSync(join(root, 'binding.gyp'), join(own, 'binding.gyp'));
  cpSync(join(root, 'src/kernel/native'), join(own, 'src/kernel/native'), { recursive: true });
  const modules = join(work, 'node_modules');
  for (const name of ['raw-socket', 'nan']) {
    cpSync(join(root, 'node_modules', name), join(modules, name), {
      recursive: true,
      filter: (path) => !path.startsWith(join(root, 'node_modules', name, 'build')),
    });
  }
  const rawSocket = join(modules, 'raw-socket');
  const env = {
    CC: toolOf(architecture, 'gcc'),
    CXX: toolOf(architecture, 'g++'),
    AR: toolOf(architecture, 'ar'),
    LDFLAGS: '-Wl,-z,relro,-z,now',
    CFLAGS: '-D_FORTIFY_SOURCE=2',
    CXXFLAGS: '-D_FORTIFY_SOURCE=2',
    // To node-gyp a setting of npm counts more than its own option.
    npm_config_nodedir: node,
  };
  for (const folder of [own, rawSocket]) {
    const args = [nodeGyp, 'rebuild', `--nodedir=${node}`, `--arch=${architecture.node}`, '--silent'];
    run(process.execPath, args, { cwd: folder, env });
  }
  return {
    binding: join(own, 'build/Release/koi_kernel.node'),
    guard: join(own, 'build/Release/koi-guard'),
    rawSocket: join(rawSocket, 'build/Release/raw.node'),
  };
}

/** Takes the symbols out that nothing at run time asks for. */
export function strip(architecture: Architecture, files: readonly string[]): void {
  run(toolOf(architecture, 'strip'), ['--strip-unneeded', '--remove-section=.comment', ...files]);
}

/** npm's own view of what runs: every production package, as paths below the root. */
export function productionModules(root: string): string[] {
  const listed = run('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root });
  return listed
    .split('\n')
    .filter((line) => line.includes('/node_modules/'))
    .map((line) => line.slice(line.indexOf('node_modules/')))
    .filter((path) => existsSync(join(root, path)) && dirname(path) !== '.');
}
