import { existsSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { FindProgram } from '../import/command.js';
import { diskFiles } from '../import/disk-files.js';
import { importKeepalived } from '../import/import-keepalived.js';
import { KoiError } from '../koi-error.js';

interface Options {
  readonly node?: string;
  readonly configId?: string;
  readonly output?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function define(command: Command): void {
  command.addHelpText(
    'after',
    `
Example:
  koi import keepalived /etc/keepalived/keepalived.conf --node r1 -o koi.yaml
`,
  );
  command
    .command('keepalived <file>')
    .description('print a koi configuration made of a keepalived.conf, and what it could not carry over')
    .option('--node <name>', 'the name of this node')
    .option('-i, --config-id <id>', "what @ conditions are compared with, as keepalived's -i; default: the host name")
    .option('-o, --output <file>', 'write the configuration to a file')
    .option('--force', 'overwrite that file')
    .option('--json', 'print {ok, config, leftOut, errors} as JSON')
    .addHelpText(
      'after',
      `
What is not carried over is on stderr, each with its line, the reason and what to do. Exits 0 when koi check takes the
result, the files that it names aside, 1 when it does not yet or there is no vrrp_instance, 2 when the file cannot be read.

Examples:
  koi import keepalived /etc/keepalived/keepalived.conf --node r1 -o koi.yaml
  koi import keepalived /etc/keepalived/keepalived.conf --json | jq '.leftOut[].directive'
`,
    )
    .action(run);
}

function run(file: string, options: Options): void {
  const path = resolve(file);
  const text = diskFiles.read(path);
  if (typeof text !== 'string') {
    throw new KoiError(text.code ?? 'config', `${file} ${text.message}`, { remedy: text.remedy });
  }
  const configId = options.configId ?? hostname().split('.')[0] ?? '';
  const result = importKeepalived(path, { files: diskFiles, findProgram, configId, node: options.node });
  if (!result.ok) {
    const lines = result.problems.map(
      ({ place, message, remedy }) => `  ${place.file}:${place.line}:${place.column}: ${message}\n    → ${remedy}`,
    );
    throw new KoiError('config', [`${file} cannot be imported`, ...lines].join('\n'));
  }
  const { imported, config, errors } = result;
  const unusable = options.node === undefined ? undefined : errors.find(({ path: field }) => field === 'node');
  if (unusable !== undefined) {
    throw new KoiError('usage', `--node ${options.node} cannot name a node`, { remedy: nameRule });
  }
  const ok = config !== '' && errors.length === 0;
  if (!ok) process.exitCode = 1;
  if (options.output !== undefined && config !== '') save(options.output, config, path, options.force === true);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok, config, leftOut: imported.leftOut, errors }, null, 2)}\n`);
    return;
  }
  if (options.output === undefined) process.stdout.write(config);
  for (const { place, directive, reason, remedy } of imported.leftOut) {
    process.stderr.write(`${place.file}:${place.line}: ${directive}: ${reason}\n  → ${remedy}\n`);
  }
  for (const { path: field, message, remedy } of errors) {
    process.stderr.write(`koi: ${field} of the result: ${message}\n  → ${remedy}\n`);
  }
  if (config === '') {
    process.stderr.write(
      `koi: ${file} has no vrrp_instance that Koi could take over: nothing is written\n  → see the list above\n`,
    );
  }
}

const nameRule = 'use letters, digits, "-", "_" and ".", at most 32, beginning with a letter or a digit';

function save(file: string, text: string, source: string, force: boolean): void {
  if (resolve(file) === source) {
    throw new KoiError('usage', `-o ${file} is the file that is imported`, { remedy: 'name another file' });
  }
  try {
    writeFileSync(file, text, { flag: force ? 'w' : 'wx', mode: 0o644 });
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const [kind, why, remedy] = faults[code] ?? (['usage', `cannot be written (${code})`, 'correct -o'] as const);
    throw new KoiError(kind, `${file} ${why}`, { remedy, cause });
  }
}

const faults: Readonly<Record<string, readonly ['usage' | 'privilege', why: string, remedy: string]>> = {
  EEXIST: ['usage', 'is there already', 'use --force to overwrite it'],
  ENOENT: ['usage', 'cannot be written: its directory is not there', 'create the directory, or correct -o'],
  ENOTDIR: ['usage', 'cannot be written: its directory is not there', 'correct -o'],
  EISDIR: ['usage', 'is a directory', 'name a file in it'],
  EACCES: ['privilege', 'cannot be written: this user may not', 'run the import as root, or write elsewhere'],
  EROFS: ['usage', 'is on a file system that is mounted read-only', 'write elsewhere'],
};

const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

const findProgram: FindProgram = (name) =>
  searchPath.map((directory) => join(directory, name)).find((path) => existsSync(path));
