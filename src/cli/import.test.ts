import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

let folder = '';
const path = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-import-'));
  const instance =
    'vrrp_instance gw {\n interface eth1\n virtual_router_id 51\n virtual_ipaddress {\n 10.77.0.254/24\n }\n}\n';
  writeFileSync(path('k.conf'), `! a comment\n${instance}`);
  writeFileSync(path('open.conf'), 'vrrp_instance gw {\n');
  writeFileSync(path('include.conf'), `include conf.d/nothing.conf\n${instance}`);
  writeFileSync(path('lvs.conf'), 'virtual_server 10.0.0.1 80 {\n}\n');
  writeFileSync(path('there.yaml'), 'mine\n');
  writeFileSync(path('secret.conf'), instance, { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true }));

function importKeepalived(...args: string[]) {
  const { NO_COLOR: _, FORCE_COLOR: __, ...env } = process.env;
  const words = ['--import', 'tsx', main, 'import', 'keepalived', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: root, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** What went wrong, where, and what to do: in one error. */
const refusals: readonly (readonly [name: string, args: () => string[], status: number, says: RegExp])[] = [
  ['a file that is not there', () => [path('none.conf')], 2, /none\.conf is not there\n.*→ correct the path/],
  ['a directory', () => [folder], 2, /is a directory\n.*→ name a file/],
  [
    'an unclosed block',
    () => [path('open.conf')],
    2,
    /open\.conf:1:1: the block of vrrp_instance is not closed\n.*→ add/,
  ],
  ['an include of nothing', () => [path('include.conf')], 2, /include\.conf:1:1: .*nothing\.conf is not there\n.*→/],
  ['an output that is there', () => [path('k.conf'), '-o', path('there.yaml')], 2, /is there already\n.*→ use --force/],
  [
    'an output in no directory',
    () => [path('k.conf'), '-o', path('no/k.yaml')],
    2,
    /directory is not there\n.*→ create/,
  ],
  ['the input as output', () => [path('k.conf'), '--force', '-o', path('k.conf')], 2, /the file that is imported\n.*→/],
  ['a node that cannot be one', () => [path('k.conf'), '--node', 'a b'], 2, /--node a b cannot name a node\n.*→ use/],
  ['an option that is none', () => [path('k.conf'), '--outptu', 'x'], 2, /--outptu/],
  ['nothing to take over', () => [path('lvs.conf')], 1, /lvs\.conf:1: virtual_server.*\n.*→[\s\S]*no vrrp_instance/],
];

describe('the import of a keepalived.conf', () => {
  it.each(refusals)('%s', (_, args, status, says) => {
    const before = readFileSync(path('k.conf'), 'utf8');
    const outcome = importKeepalived(...args());
    expect(outcome).toMatchObject({ status, stdout: '' });
    expect(outcome.stderr).toMatch(says);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
    expect(readFileSync(path('k.conf'), 'utf8')).toBe(before);
    expect(readFileSync(path('there.yaml'), 'utf8')).toBe('mine\n');
  });

  it('writes to a file, and over one where it is told to', () => {
    expect(importKeepalived(path('k.conf'), '--node', 'r1', '-o', path('new.yaml'))).toMatchObject({
      status: 0,
      stdout: '',
    });
    const written = readFileSync(path('new.yaml'), 'utf8');
    expect(written).toContain('id: 51 # line 4');
    const forced = importKeepalived(path('k.conf'), '--node', 'r2', '-o', path('new.yaml'), '--force');
    expect(forced.status).toBe(0);
    expect(readFileSync(path('new.yaml'), 'utf8')).toBe(written.replace('"r1"', '"r2"'));
  });

  it.skipIf(process.getuid?.() !== 0)('a file that this user may not read (needs root)', () => {
    const words = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '--import', 'tsx', main];
    const args = [...words, 'import', 'keepalived', path('secret.conf')];
    spawnSync('chmod', ['755', folder]);
    const { status, stderr } = spawnSync('setpriv', args, { cwd: root, encoding: 'utf8' });
    expect(stderr).toMatch(/secret\.conf may not be read\n.*→ run the import as root/);
    expect(status).toBe(3);
  });
});
