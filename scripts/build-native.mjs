// Compiles the kernel binding, the guard and raw-socket with node-gyp against the headers of the Node that runs this.
// raw-socket is compiled here because npm may refuse a dependency's install script, and would download the headers.
// The headers are never downloaded: they come from KOI_NODE_HEADERS, from beside the node binary, or from /usr.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** The prefix whose include/node belongs to this very Node version, or undefined. */
function headerPrefix() {
  const beside = resolve(dirname(realpathSync(process.execPath)), '..');
  const candidates = [process.env.KOI_NODE_HEADERS, process.env.npm_config_nodedir, beside, '/usr', '/usr/local'];
  return candidates.find((prefix) => prefix !== undefined && versionOf(prefix) === process.versions.node);
}

function versionOf(prefix) {
  const file = join(prefix, 'include/node/node_version.h');
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  return ['MAJOR', 'MINOR', 'PATCH']
    .map((part) => new RegExp(`#define NODE_${part}_VERSION (\\d+)`).exec(text)?.[1])
    .join('.');
}

const prefix = headerPrefix();
if (prefix === undefined) {
  process.stderr.write(
    `koi: the headers of Node ${process.versions.node} were not found (looked for include/node/node_version.h beside\n` +
      `${process.execPath}, in /usr and /usr/local). Install them (Debian: libnode-dev, or nodejs from the vendor's\n` +
      'package) or set KOI_NODE_HEADERS to the prefix that holds include/node, then run npm ci again.\n',
  );
  process.exit(1);
}

const require = createRequire(import.meta.url);
const nodeGyp = process.env.npm_config_node_gyp ?? require.resolve('node-gyp/bin/node-gyp.js');

function build(what, directory, needs) {
  const built = spawnSync(process.execPath, [nodeGyp, 'rebuild', `--nodedir=${prefix}`, '--silent'], {
    cwd: directory,
    encoding: 'utf8',
    // To node-gyp a setting of npm counts more than its own option.
    env: { ...process.env, npm_config_nodedir: prefix },
  });
  if (built.status === 0) return;
  process.stderr.write(`${built.stdout}${built.stderr}\n`);
  process.stderr.write(`koi: ${what} did not compile. It needs ${needs}, make and python3.\n`);
  process.exit(1);
}

/** Whether this very Node can load it; tried elsewhere, since what failed to load here could not be tried again. */
function loads(module) {
  return spawnSync(process.execPath, ['-e', `require(${JSON.stringify(module)})`]).status === 0;
}

build('the kernel binding', root, 'a C compiler');
const rawSocket = dirname(require.resolve('raw-socket/package.json'));
if (!loads(rawSocket)) build('raw-socket', rawSocket, 'a C++ compiler');
