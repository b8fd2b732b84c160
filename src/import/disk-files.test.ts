import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diskFiles } from './disk-files.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-import-'));
  for (const name of ['a', 'b']) {
    mkdirSync(join(directory, name));
    for (const file of ['1.conf', '2.conf', '.hidden.conf']) writeFileSync(join(directory, name, file), '');
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('the files that an include names', () => {
  it.each([
    ['a/*.conf', ['a/1.conf', 'a/2.conf']],
    ['*/1.conf', ['a/1.conf', 'b/1.conf']],
    ['{b,a,c}/[!2].conf', ['b/1.conf', 'a/1.conf']],
    ['a/?.conf', ['a/1.conf', 'a/2.conf']],
    ['a/nothing.conf', ['a/nothing.conf']],
    ['a/*.none', []],
    ['a/[z-a]', []],
  ])('%s', (pattern, wanted) => {
    const found = diskFiles.glob(join(directory, pattern), (path) => expect.fail(path));
    expect(found).toEqual(wanted.map((name) => join(directory, name)));
  });

  it.skipIf(process.getuid?.() !== 0)('are not looked for in a directory that may not be read, which is told', () => {
    const closed = join(directory, 'closed');
    mkdirSync(closed);
    writeFileSync(join(closed, '1.conf'), '');
    const look = `
      const { diskFiles } = await import('${new URL('disk-files.ts', import.meta.url).href}');
      process.setgroups?.([]);
      process.setgid?.(65534);
      process.setuid?.(65534);
      const told = [];
      for (const pattern of ['closed/*.conf', 'closed/{1,2}.conf', '*/1.conf', 'a/1.conf/*']) {
        const found = diskFiles.glob('${directory}/' + pattern, (path, { message, code }) => told.push([path, message, code]));
        console.log(JSON.stringify([found, told.splice(0)]));
      }`;
    chmodSync(directory, 0o755);
    chmodSync(closed, 0o700);
    const said = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', look], {
      encoding: 'utf8',
    });
    const fault = [closed, 'may not be read', 'privilege'];
    expect(
      said
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      [[], [fault]],
      [[], [fault, fault]],
      [[join(directory, 'a/1.conf'), join(directory, 'b/1.conf')], [fault]],
      [[], []],
    ]);
    rmSync(closed, { recursive: true });
  });
});

it('a file that cannot be read is told from one that is not there', () => {
  expect(diskFiles.read(join(directory, 'none'))).toMatchObject({ message: 'is not there' });
  expect(diskFiles.read(directory)).toMatchObject({ message: 'is a directory' });
  expect(diskFiles.read('/dev/zero')).toMatchObject({ message: 'is not a regular file' });
  expect(diskFiles.read(join(directory, 'a/1.conf'))).toBe('');
});
