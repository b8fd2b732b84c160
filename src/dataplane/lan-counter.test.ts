import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LanCounter } from './lan-counter.js';

let directory: string;
const warnings: string[] = [];
const log = { warn: (_: object, message: string) => warnings.push(message) } as never;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-counter-'));
  warnings.length = 0;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const wallMs = 1_700_000_000_000;

describe('the counter of notices', () => {
  it('grows with each', async () => {
    const counter = await LanCounter.open(directory, wallMs, log);
    const first = counter.next();
    expect(counter.next()).toBe(first + 1n);
  });

  it.each([
    ['a second later', wallMs + 1000],
    ['within the same second', wallMs],
    ['with the clock put back', 0],
  ])('is above all before it after a restart %s', async (_, againMs) => {
    const before = await LanCounter.open(directory, wallMs, log);
    for (let sent = 0; sent < 1000; sent += 1) before.next();
    const last = before.next();
    const after = await LanCounter.open(directory, againMs, log);
    expect(after.next()).toBeGreaterThan(last);
    expect(readFileSync(join(directory, 'lan-counter'), 'utf8')).toMatch(/^\d+\n$/);
  });

  it('needs no state where the clock goes on', async () => {
    const last = (await LanCounter.open(directory, wallMs, log)).next();
    rmSync(join(directory, 'lan-counter'));
    expect((await LanCounter.open(directory, wallMs + 2000, log)).next()).toBeGreaterThan(last);
  });

  it.each(['', 'x', '99999999999999999999', '-1'])('takes a damaged file (%j) for none', async (content) => {
    writeFileSync(join(directory, 'lan-counter'), content);
    expect((await LanCounter.open(directory, wallMs, log)).next()).toBe((1_700_000_000n << 32n) + 1n);
    expect(warnings).toEqual([]);
  });

  it('says so where it cannot be saved', async () => {
    await LanCounter.open(join(directory, 'absent'), wallMs, log);
    expect(warnings).toEqual([expect.stringContaining('could not be saved')]);
  });
});
