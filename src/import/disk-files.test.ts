import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
    expect(diskFiles.glob(join(directory, pattern))).toEqual(wanted.map((name) => join(directory, name)));
  });
});

it('a file that cannot be read is told from one that is not there', () => {
  expect(diskFiles.read(join(directory, 'none'))).toMatchObject({ message: 'is not there' });
  expect(diskFiles.read(directory)).toMatchObject({ message: 'is a directory' });
  expect(diskFiles.read('/dev/zero')).toMatchObject({ message: 'is not a regular file' });
  expect(diskFiles.read(join(directory, 'a/1.conf'))).toBe('');
});
