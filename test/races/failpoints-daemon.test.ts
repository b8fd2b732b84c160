import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { natsServerBinary } from '../log/nats-server.js';
import { daemonFailpoints, FailpointSite } from './failpoint-site.js';
import type { TrapKind } from './trapped-koi.js';

/*
 * Between every two steps of claim, release and handover a running daemon waits for half a second, fails, or is killed.
 * Needs root, nats-server, iproute2, tcpdump and a C compiler. KOI_RACES=all does so under `strict` as well.
 */
const kinds: readonly TrapKind[] = ['delay', 'error', 'crash'];
const modes = process.env.KOI_RACES === 'all' ? (['log', 'strict'] as const) : (['log'] as const);
const canRun = isRoot && natsServerBinary !== undefined;

describe.skipIf(!canRun).each(modes)('arbitration %s: at each failpoint of two running daemons', (mode) => {
  let koi: BuiltKoi;
  let site: FailpointSite;
  const worst = { noneMs: 0, severalMs: 0 };
  let cases = 0;

  beforeAll(async () => {
    koi = buildKoi();
    site = await FailpointSite.begin(koi, mode);
  }, 120_000);
  afterAll(async () => {
    await site?.close();
    koi?.remove();
  }, 60_000);

  const all = daemonFailpoints.flatMap((name) => kinds.map((kind) => [name, kind] as const));
  test.each(all)('%s, %s: all is as it should be, and works', { timeout: 120_000 }, async (name, kind) => {
    const { noneMs, severalMs } = await site.run(name, kind);
    process.stdout.write(`${name} ${kind}: nobody ${noneMs.toFixed(0)} ms, both ${severalMs.toFixed(0)} ms\n`);
    cases += 1;
    worst.noneMs = Math.max(worst.noneMs, noneMs);
    worst.severalMs = Math.max(worst.severalMs, severalMs);
    if (mode === 'strict') expect(severalMs).toBe(0);
  });

  test('the log says the same', { timeout: 60_000 }, () => {
    expect(site.audit()).not.toContain('failed');
    const { noneMs, severalMs } = worst;
    process.stdout.write(
      `${cases} cases, ${mode}: nobody had it for at most ${noneMs.toFixed(0)} ms, both for at most ${severalMs.toFixed(0)} ms\n`,
    );
  });
});
