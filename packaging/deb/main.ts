import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { commands } from '../../src/cli/commands.js';
import { defineProgram } from '../../src/cli/program.js';
import { configJsonSchema } from '../../src/config/json-schema.js';
import { listShipped, natsComponents } from '../sbom/list.js';
import { type Architecture, architectures } from './architecture.js';
import { commandPages } from './command-pages.js';
import { bashCompletion, fishCompletion, zshCompletion } from './completion.js';
import { configurationPage } from './configuration-page.js';
import { controlFile, glibcFloor, sumsFile } from './control.js';
import { elfArchitecture } from './elf.js';
import { buildNatsServer, compileNative, fetchNode, productionModules, strip } from './parts.js';
import { run } from './run.js';

/*
 * npm run deb [-- amd64 arm64]: builds the Debian package for each architecture named, else for all, into dist-deb/.
 *
 *   KOI_DEB_VERSION       instead of the version of package.json
 *   KOI_DEB_COMPRESSION   of dpkg-deb -Z: xz (default), zstd, gzip, none
 */

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));
const library = 'usr/lib/koi';

/** Where each file of packaging/systemd goes. */
const systemFiles: Readonly<Record<string, string>> = {
  'koi-dataplane.service': 'usr/lib/systemd/system/koi-dataplane.service',
  'koi-agent.service': 'usr/lib/systemd/system/koi-agent.service',
  'koi-log-server.service': 'usr/lib/systemd/system/koi-log-server.service',
  'koi-witness.service': 'usr/lib/systemd/system/koi-witness.service',
  'koi.target': 'usr/lib/systemd/system/koi.target',
  'koi.sysusers': 'usr/lib/sysusers.d/koi.conf',
  'koi.tmpfiles': 'usr/lib/tmpfiles.d/koi.conf',
  'koi.sysctl': 'usr/lib/sysctl.d/60-koi.conf',
  '05-koi.network': 'usr/lib/systemd/network/05-koi.network',
  '05-koi.link': 'usr/lib/systemd/network/05-koi.link',
  'koi-networkmanager.conf': 'usr/lib/NetworkManager/conf.d/koi.conf',
};

interface About {
  readonly version: string;
  readonly commit: string;
  readonly date: string;
  readonly epoch: string;
}

function about(): About {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const [commit = 'unknown', epoch = '0'] = run('git', ['log', '-1', '--format=%h %ct'], { cwd: root })
    .trim()
    .split(' ');
  const date = new Date(Number(epoch) * 1000).toISOString().slice(0, 10);
  return { version: process.env.KOI_DEB_VERSION ?? manifest.version, commit, date, epoch };
}

/** Writes below `tree`, and makes the folders on the way. */
function put(tree: string, path: string, content: string | Buffer, mode = 0o644): void {
  const file = join(tree, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

function copy(tree: string, path: string, from: string, mode: number): void {
  put(tree, path, readFileSync(from), mode);
}

/** Of a module. */
const unneeded =
  /^\/(build|test|tests|example|examples|docs?|benchmarks?|\.github)(\/|$)|\/\.[^/]+$|\.html$|\.(map|md|markdown|cc|gyp|[cm]?ts)$/;

const compressed = (text: string): Buffer => gzipSync(text, { level: 9 });

function putProgram(tree: string, info: About): void {
  run(
    process.execPath,
    [
      join(root, 'node_modules/typescript/bin/tsc'),
      ...['-p', join(root, 'tsconfig.build.json'), '--outDir', join(tree, library, 'dist'), '--sourceMap', 'false'],
    ],
    { cwd: root },
  );
  const manifest = { name: 'koi', version: info.version, type: 'module', koi: { commit: info.commit } };
  put(tree, `${library}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);
  copy(tree, 'usr/bin/koi', join(here, 'koi.sh'), 0o755);
  for (const path of productionModules(root)) {
    const from = join(root, path);
    cpSync(from, join(tree, library, path), {
      recursive: true,
      // Only what runs: no sources of compiled parts, no types, tests, documents, nor what the build left.
      filter: (each) => !unneeded.test(`/${relative(from, each)}`),
    });
  }
}

function putNative(tree: string, architecture: Architecture): void {
  const work = mkdtempSync(join(tmpdir(), 'koi-deb-native-'));
  try {
    const node = fetchNode(architecture);
    const parts = compileNative(architecture, root, node, work);
    copy(tree, `${library}/bin/node`, join(node, 'bin/node'), 0o755);
    copy(tree, `${library}/bin/nats-server`, buildNatsServer(architecture), 0o755);
    copy(tree, `${library}/build/Release/koi_kernel.node`, parts.binding, 0o644);
    copy(tree, `${library}/build/Release/koi-guard`, parts.guard, 0o755);
    copy(tree, `${library}/node_modules/raw-socket/build/Release/raw.node`, parts.rawSocket, 0o644);
    strip(architecture, compiledFiles(tree));
    copy(tree, 'usr/share/doc/koi/LICENSE.node', join(node, 'LICENSE'), 0o644);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What the dynamic linker has a say in; nats-server is static. */
const compiledFiles = (tree: string): string[] =>
  [
    'bin/node',
    'build/Release/koi_kernel.node',
    'build/Release/koi-guard',
    'node_modules/raw-socket/build/Release/raw.node',
  ].map((path) => join(tree, library, path));

/**
 * What is compiled is for this architecture, and the package's own Node loads it where this machine can run it.
 *
 * @throws Error naming the file
 */
function proveNative(tree: string, architecture: Architecture): void {
  const compiled = filesBelow(tree).filter((path) => elfArchitecture(readFileSync(join(tree, path))) !== undefined);
  const expected = [...compiledFiles(tree), join(tree, library, 'bin/nats-server')].map((path) => relative(tree, path));
  if (compiled.sort().join() !== expected.sort().join()) {
    throw new Error(`compiled files in the package: ${compiled.join(', ')}; expected ${expected.join(', ')}`);
  }
  for (const path of compiled) {
    const found = elfArchitecture(readFileSync(join(tree, path)));
    if (found !== architecture.debian) throw new Error(`${path} is compiled for ${found}, not ${architecture.debian}`);
  }
  if (architecture.node !== process.arch) return;
  const modules = compiled.filter((path) => path.endsWith('.node')).map((path) => join(tree, path));
  for (const path of modules) run(join(tree, library, 'bin/node'), ['-e', 'require(process.argv[1])', path]);
}

function putDocuments(tree: string): void {
  copy(tree, 'usr/share/doc/koi/copyright', join(here, 'copyright'), 0o644);
  put(tree, 'usr/share/doc/koi/changelog.gz', compressed(readFileSync(join(root, 'CHANGELOG.md'), 'utf8')));
  for (const name of ['README.md']) copy(tree, `usr/share/doc/koi/${name}`, join(root, name), 0o644);
  for (const name of readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })) {
    if (/\.(md|svg)$/.test(name)) copy(tree, `usr/share/doc/koi/docs/${name}`, join(root, 'docs', name), 0o644);
  }
  for (const name of readdirSync(join(here, 'examples'))) {
    copy(tree, `usr/share/doc/koi/examples/${name}`, join(here, 'examples', name), 0o644);
  }
  copy(tree, 'usr/share/lintian/overrides/koi', join(here, 'lintian-overrides'), 0o644);
  copy(tree, 'etc/koi/koi.yaml', join(here, 'koi.yaml'), 0o640);
  for (const [name, path] of Object.entries(systemFiles)) copy(tree, path, join(here, '../systemd', name), 0o644);
}

async function putManual(tree: string, info: About): Promise<void> {
  const program = await defineProgram(commands, () => true);
  for (const [name, text] of commandPages(program, info)) put(tree, `usr/share/man/man1/${name}.gz`, compressed(text));
  const example = readFileSync(join(here, 'koi.yaml'), 'utf8');
  const page = configurationPage(configJsonSchema(), example, info);
  put(tree, 'usr/share/man/man5/koi.yaml.5.gz', compressed(page));
  put(tree, 'usr/share/bash-completion/completions/koi', bashCompletion(program));
  put(tree, 'usr/share/zsh/vendor-completions/_koi', zshCompletion(program));
  put(tree, 'usr/share/fish/vendor_completions.d/koi.fish', fishCompletion(program));
}

/** Every file below a folder, as paths relative to it. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function putControl(tree: string, architecture: Architecture, info: About): void {
  const files = filesBelow(tree);
  const bytes = files.reduce((sum, path) => sum + Math.ceil(statSync(join(tree, path)).size / 1024) * 1024, 0);
  const glibc = glibcFloor(run('readelf', ['-V', '-W', ...compiledFiles(tree)]));
  const control = {
    version: info.version,
    architecture: architecture.debian,
    glibc,
    installedKiB: Math.ceil(bytes / 1024),
  };
  put(tree, 'DEBIAN/control', controlFile(control));
  put(tree, 'DEBIAN/conffiles', '/etc/koi/koi.yaml\n');
  const sums = files
    .filter((path) => path !== 'etc/koi/koi.yaml')
    .map(
      (path) =>
        [
          path,
          createHash('md5')
            .update(readFileSync(join(tree, path)))
            .digest('hex'),
        ] as const,
    );
  put(tree, 'DEBIAN/md5sums', sumsFile(sums));
  for (const name of ['postinst', 'prerm', 'postrm']) copy(tree, `DEBIAN/${name}`, join(here, name), 0o755);
}

async function build(architecture: Architecture, info: About): Promise<string> {
  const tree = mkdtempSync(join(tmpdir(), 'koi-deb-'));
  try {
    chmodSync(tree, 0o755);
    putProgram(tree, info);
    putNative(tree, architecture);
    proveNative(tree, architecture);
    putDocuments(tree);
    const nats = natsComponents(join(tree, library, 'bin/nats-server'));
    put(tree, 'usr/share/doc/koi/sbom.cdx.json', listShipped(root, info.version, nats));
    await putManual(tree, info);
    run('find', [tree, '-type', 'd', '-exec', 'chmod', '755', '{}', '+']);
    run('find', [
      join(tree, library, 'dist'),
      join(tree, library, 'node_modules'),
      '-type',
      'f',
      '-exec',
      'chmod',
      '644',
      '{}',
      '+',
    ]);
    putControl(tree, architecture, info);
    const output = join(root, 'dist-deb', `koi_${info.version}_${architecture.debian}.deb`);
    mkdirSync(dirname(output), { recursive: true });
    const compression = process.env.KOI_DEB_COMPRESSION ?? 'xz';
    run('dpkg-deb', ['--root-owner-group', `-Z${compression}`, '--build', tree, output], {
      env: { SOURCE_DATE_EPOCH: info.epoch },
    });
    return output;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

const asked = process.argv.slice(2);
const chosen = asked.length === 0 ? architectures : architectures.filter(({ debian }) => asked.includes(debian));
const unknown = asked.filter((name) => !architectures.some(({ debian }) => debian === name));
if (unknown.length > 0) {
  process.stderr.write(`deb: no such architecture: ${unknown.join(', ')}; there are amd64 and arm64\n`);
  process.exit(2);
}
const info = about();
for (const architecture of chosen) {
  const output = await build(architecture, info);
  process.stdout.write(`${relative(process.cwd(), output)} ${(statSync(output).size / 2 ** 20).toFixed(1)} MiB\n`);
}
