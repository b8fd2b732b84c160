import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { term } from '../core/identity.js';
import { TermStore } from './term-store.js';

let dir: string;
let file: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'koi-terms-'));
  file = join(dir, 'terms.json');
});
afterEach(async () => {
  vi.useRealTimers();
  // A store that was opened last may still reserve.
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

const onDisk = (): Record<string, number> =>
  (JSON.parse(readFileSync(file, 'utf8')) as { terms: Record<string, number> }).terms;
/** What a later life finds of what is on disk now: in a place of its own, since the one before has not ended. */
const reopened = async (vr: string): Promise<number> => {
  const later = mkdtempSync(join(dir, 'later-'));
  copyFileSync(file, join(later, 'terms.json'));
  return (await TermStore.open(later)).get(vr);
};
const refusal = async (): Promise<unknown> =>
  TermStore.open(dir).then(
    () => 'opened',
    (error: unknown) => error,
  );

describe('the term store', () => {
  it('starts at nothing, in a directory that it makes', async () => {
    const nested = join(dir, 'a', 'b');
    const store = await TermStore.open(nested);
    expect(store.get('gw')).toBe(0);
    expect(statSync(nested).isDirectory()).toBe(true);
    expect(existsSync(join(nested, 'terms.json'))).toBe(false);
  });

  it('has a term on disk before it says so, and a later life never finds a lower one', async () => {
    const store = await TermStore.open(dir);
    for (const value of [1, 2, 7]) {
      await store.save('gw', term(value));
      expect(onDisk().gw).toBeGreaterThanOrEqual(value);
      expect(await reopened('gw')).toBeGreaterThanOrEqual(value);
    }
    expect(store.get('gw')).toBe(7);
  });

  it('never goes back', async () => {
    const store = await TermStore.open(dir);
    await store.save('gw', term(9));
    await store.save('gw', term(3));
    expect(store.get('gw')).toBe(9);
    expect(await reopened('gw')).toBeGreaterThanOrEqual(9);
  });

  it('keeps virtual routers apart', async () => {
    const store = await TermStore.open(dir);
    await Promise.all([store.save('a', term(4)), store.save('b', term(11))]);
    const later = await TermStore.open(dir);
    expect([later.get('a') >= 4, later.get('a') < 11, later.get('b') >= 11, later.get('c')]).toEqual([
      true,
      true,
      true,
      0,
    ]);
  });

  it('writes together what comes together', async () => {
    const store = await TermStore.open(dir);
    const first = store.save('vr0', term(1));
    const rest = Array.from({ length: 200 }, (_, index) => store.save(`vr${index + 1}`, term(index + 1)));
    // While the first write is on its way all the others wait for the second one: no file of a third ever exists.
    let writes = 0;
    let seen = '';
    const watch = setInterval(() => {
      const now = existsSync(file) ? readFileSync(file, 'utf8') : '';
      if (now !== seen) writes += 1;
      seen = now;
    }, 0);
    await Promise.all([first, ...rest]);
    clearInterval(watch);
    expect(writes).toBeLessThanOrEqual(2);
    expect(Object.keys(onDisk())).toHaveLength(201);
  });

  it('survives the crash of a write: what the half-written file says does not count', async () => {
    await (await TermStore.open(dir)).save('gw', term(5));
    const before = onDisk().gw;
    writeFileSync(`${file}.new`, '{"format":1,"terms":{"gw":');
    const store = await TermStore.open(dir);
    expect(store.get('gw')).toBe(before);
    await store.save('gw', term(20));
    expect(await reopened('gw')).toBeGreaterThanOrEqual(20);
    expect(existsSync(`${file}.new`)).toBe(false);
  });

  it('writes through no link, and reads none', async () => {
    const victim = join(dir, 'victim');
    writeFileSync(victim, '{"format":1,"terms":{"gw":9}}');
    symlinkSync(victim, `${file}.new`);
    await (await TermStore.open(dir)).save('gw', term(5));
    expect(readFileSync(victim, 'utf8')).toContain('9');
    expect(existsSync(file)).toBe(true);
    rmSync(file);
    symlinkSync(victim, file);
    expect(await refusal()).toMatchObject({ message: expect.stringContaining('ELOOP') as string });
  });

  it.each([
    ['cut off', '{"format":1,"terms":{"gw":'],
    ['empty', ''],
    ['of another form', '{"format":1,"terms":[]}'],
    ['of a later format', '{"format":2,"terms":{"gw":5}}'],
    ['with a term that is none', '{"format":1,"terms":{"gw":-1}}'],
    ['with a term that is a text', '{"format":1,"terms":{"gw":"5"}}'],
  ])('refuses a file %s, naming it and what to do, and leaves it alone', async (_, content) => {
    writeFileSync(file, content);
    expect(await refusal()).toMatchObject({
      code: 'config',
      message: expect.stringContaining(`${file} is damaged`) as string,
      remedy: expect.stringContaining('restore it') as string,
    });
    expect(readFileSync(file, 'utf8')).toBe(content);
  });

  it('refuses a file that cannot be read, and a directory that cannot be made', async () => {
    mkdirSync(file);
    expect(await refusal()).toMatchObject({
      code: 'config',
      message: expect.stringContaining(file) as string,
      remedy: expect.any(String) as string,
    });
    writeFileSync(join(dir, 'plain'), '');
    const below = TermStore.open(join(dir, 'plain', 'state'));
    await expect(below).rejects.toMatchObject({ code: 'config', remedy: expect.any(String) as string });
  });

  it('fails the save that the disk did not take, and takes the next one', async () => {
    const state = mkdtempSync(join(dir, 'state-'));
    const store = await TermStore.open(state);
    rmSync(state, { recursive: true });
    await expect(store.save('gw', term(1))).rejects.toThrow('ENOENT');
    mkdirSync(state);
    chmodSync(state, 0o750);
    await store.save('gw', term(2));
    expect((await TermStore.open(state)).get('gw')).toBeGreaterThanOrEqual(2);
  });

  it('reserves the next term in quiet times: the takeover after that waits for no disk', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const store = await TermStore.open(dir);
    await store.save('gw', term(5));
    await vi.advanceTimersByTimeAsync(5000);
    vi.useRealTimers();
    await vi.waitFor(() => expect(onDisk().gw).toBeGreaterThan(5));
    const before = readFileSync(file, 'utf8');
    await store.save('gw', term(6));
    expect(readFileSync(file, 'utf8')).toBe(before);
    // A crash now: the next life must not use term 6 again.
    expect(await reopened('gw')).toBeGreaterThanOrEqual(6);
  });

  it('reserves the next term when it is opened too: what was reserved before may be the very term that the others have', async () => {
    writeFileSync(file, JSON.stringify({ format: 1, terms: { gw: 6 } }));
    const store = await TermStore.open(dir);
    // The master may be lost before there ever is a quiet time: no timer, no save.
    await vi.waitFor(() => expect(onDisk().gw).toBe(7));
    await store.save('other', term(1));
    const before = statSync(file).ino;
    await store.save('gw', term(7));
    expect(statSync(file).ino).toBe(before);
  });
});
