import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compileGuard } from '../../test/guard/compile-guard.js';
import { GuardKeeper } from './guard-keeper.js';
import type { GuardReport } from './guard-protocol.js';

const isRoot = process.getuid?.() === 0;
/** A link that cannot be: the guard finds the address absent. */
const nowhere = 0x7ffffff0;

// Needs the privileges of a guard.
describe.skipIf(!isRoot)('leases and the guard', () => {
  const directory = mkdtempSync(join(tmpdir(), 'koi-guard-keeper-'));
  const keepers: GuardKeeper[] = [];
  let binary: string;
  beforeAll(() => {
    binary = compileGuard(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  afterEach(() => Promise.all(keepers.splice(0).map((keeper) => keeper.stop())));

  async function started() {
    const reports: GuardReport[] = [];
    const keeper = new GuardKeeper({
      binary,
      group: 0,
      timeoutMs: 60_000,
      log: pino({ level: 'silent' }),
      onReport: (report) => reports.push(report),
    });
    keepers.push(keeper);
    await keeper.start();
    return { keeper, ended: () => reports.flatMap((report) => (report.event === 'lease_ended' ? [report.vr] : [])) };
  }
  const inMs = (ms: number): bigint => process.hrtime.bigint() + BigInt(ms) * 1_000_000n;
  const put = (keeper: GuardKeeper, vr: string, leased: boolean): Promise<void> =>
    keeper.put(vr, nowhere, ['192.0.2.1'], [], { leased });

  it('nothing leased is registered without a lease, nor with one that has ended', async () => {
    const { keeper } = await started();
    await expect(put(keeper, 'gw', true)).rejects.toMatchObject({ code: 'attach' });
    keeper.leaseEndsAt(inMs(0));
    await expect(put(keeper, 'gw', true)).rejects.toThrow(/no lease/);
    await put(keeper, 'other', false);
  });

  it('what is leased ends with the lease, and nothing else does; a renewal is for all', async () => {
    const { keeper, ended } = await started();
    keeper.leaseEndsAt(inMs(300));
    for (const vr of ['a', 'b']) await put(keeper, vr, true);
    await put(keeper, 'free', false);
    keeper.leaseEndsAt(inMs(800));
    await expect.poll(ended, { timeout: 5000 }).toEqual(['a', 'b']);
  });

  it('what was leased and is not any more is let off', async () => {
    const { keeper, ended } = await started();
    keeper.leaseEndsAt(inMs(400));
    for (const vr of ['was', 'is']) await put(keeper, vr, true);
    await put(keeper, 'was', false);
    await expect.poll(ended, { timeout: 5000 }).toEqual(['is']);
  });

  it('a new guard is told the end of the lease too', async () => {
    const { keeper, ended } = await started();
    keeper.leaseEndsAt(inMs(3000));
    await put(keeper, 'gw', true);
    process.kill(keeper.pid ?? 0, 'SIGKILL');
    await expect.poll(() => keeper.up, { timeout: 5000 }).toBe(false);
    await expect.poll(ended, { timeout: 8000 }).toEqual(['gw']);
  });
});
