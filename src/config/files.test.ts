import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkFiles } from './file-checks.js';
import { parseConfig } from './load.js';
import { readSecretFile } from './secret-file.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-files-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

it('a secret is the content of its file without the line break at its end', () => {
  expect(readSecretFile(write('a', 'hush hush \n'), 'f')).toBe('hush hush ');
  expect(readSecretFile(write('b', 'x\n\n'), 'f')).toBe('x\n');
});

it.each([
  ['absent', () => join(folder, 'none'), 'log.passwordFile: cannot read'],
  ['empty', () => write('empty', '\n'), 'is empty'],
  ['too large', () => write('large', 'x'.repeat(5_000)), 'is larger than 4096 bytes'],
  ['a directory', () => folder, 'cannot read'],
])('a secret file that is %s is refused by the name of its field', (_name, file, message) => {
  expect(() => readSecretFile(file(), 'log.passwordFile')).toThrow(message);
});

it('the files of a configuration are looked at: absent is an error, readable by all a warning', () => {
  const parsed = parseConfig(
    `cluster: edge
node: r1
lanKeyFile: ${write('lan.key', 'x'.repeat(32), 0o644)}
log:
  servers: [tls://n:4222]
  user: koi
  passwordFile: ${join(folder, 'none')}
  tls: {ca: ${write('ca.pem', 'x', 0o644)}}
virtualRouters: [{name: gw, interface: eth1, id: 51, addresses: [10.77.0.254/24]}]
`,
    { environment: {} },
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const { errors, warnings } = checkFiles(parsed.document);
  expect(errors.map(({ path, line }) => `${path}@${line}`)).toEqual(['log.passwordFile@7']);
  expect(warnings.map(({ path, line }) => `${path}@${line}`)).toEqual(['lanKeyFile@3']);
});

it('a key for the LAN that is too short is an error', () => {
  const parsed = parseConfig(
    `cluster: edge
node: r1
lanKeyFile: ${write('short.key', 'secret\n')}
log: {servers: [tls://n:4222]}
virtualRouters: [{name: gw, interface: eth1, id: 51, addresses: [10.77.0.254/24]}]
`,
    { environment: {} },
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const { errors } = checkFiles(parsed.document);
  expect(errors).toMatchObject([{ path: 'lanKeyFile', line: 3, message: expect.stringContaining('too short') }]);
});
