import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { clockDriftMax, leaseMarginMs } from '../../src/core/lease.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type Node, Site } from './site.js';

/*
 * Arbitration strict: who cannot renew its lease stops at its end, whatever it does, and nobody takes over before. The
 * addresses are read from both kernels all the while.
 */
const isRoot = process.getuid?.() === 0;
/** The kernel is told to keep an address for at least a second, and to be done with it before the lease is. */
const ttlMs = 4000;
const renewMs = 500;
/** From the last renewal before the cut, which may be `renewMs` old, by the clocks of holder and reader. */
const endsWithinMs = ttlMs - leaseMarginMs;
const takenAfterMs = ttlMs * (1 + clockDriftMax) + leaseMarginMs;
/** The kernel counts in seconds, and looks up to one late: it may be done by so much before the lease is. */
const kernelEarlyMs = 1600;
/** What reading both kernels takes on a busy machine, or the guard, at most. */
const toleranceMs = 200 + stallMs;

/** When each of the nodes had the VIP, read in turn from one moment on. */
class Watch {
  readonly #nodes: readonly Node[];
  readonly #startedMs = performance.now();
  readonly lastMs = new Map<string, number>();
  readonly firstMs = new Map<string, number>();
  bothHad = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(...nodes: readonly Node[]) {
    this.#nodes = nodes;
    this.#done = this.#look();
  }

  async #look(): Promise<void> {
    while (!this.#stopped) {
      const holders = this.#nodes.filter((node) => node.hasVip);
      if (holders.length > 1) this.bothHad += 1;
      for (const { name } of holders) {
        const atMs = performance.now() - this.#startedMs;
        if (!this.firstMs.has(name)) this.firstMs.set(name, atMs);
        this.lastMs.set(name, atMs);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

describe.skipIf(!isRoot || natsServerBinary === undefined)('strict, on a LAN (needs root)', () => {
  let koi: BuiltKoi;
  let site: Site;
  let holder: Node;
  let other: Node;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  afterEach(() => site?.close(), 60_000);

  beforeEach(async () => {
    site = await Site.begin();
    const lines = {
      lease: { ttl: `${ttlMs}ms`, renew: `${renewMs}ms` },
      // Longer than the lease: a silent dataplane is not fenced for its silence.
      guard: { timeout: '10s' },
    };
    holder = await site.node(0, koi.main, { arbitration: 'strict', priority: 200 }, lines);
    other = await site.node(1, koi.main, { arbitration: 'strict', priority: 100 }, lines);
    holder.start();
    await holder.isMaster('logged');
    other.start();
    await other.isBackup();
  }, 60_000);

  const moved = (watch: Watch): { readonly lostMs: number; readonly takenMs: number } => ({
    lostMs: watch.lastMs.get(holder.name) ?? Number.NaN,
    takenMs: watch.firstMs.get(other.name) ?? Number.NaN,
  });

  async function takenOver(watch: Watch): Promise<void> {
    const absent = (): string | undefined => (watch.firstMs.has(other.name) ? undefined : 'it has no VIP');
    await waitUntil('the other one to take over', absent, { deadlineMs: 15_000 });
  }

  test('who cannot reach the log stops at the end of its lease, and only then is it taken over', {
    timeout: 120_000,
  }, async () => {
    const watch = new Watch(holder, other);
    await site.topology.silenceManagement(holder.router);
    await takenOver(watch);
    await watch.stop();
    const { lostMs, takenMs } = moved(watch);
    expect(watch.bothHad).toBe(0);
    expect(lostMs).toBeGreaterThan(endsWithinMs - renewMs - kernelEarlyMs - toleranceMs);
    expect(lostMs).toBeLessThan(endsWithinMs + toleranceMs);
    expect(takenMs).toBeGreaterThan(takenAfterMs - renewMs - toleranceMs);
    await holder.says('master → fenced', 'lease_lost');
    process.stdout.write(`strict, log cut: lost after ${lostMs.toFixed(0)} ms, taken after ${takenMs.toFixed(0)} ms\n`);
  });

  test('a frozen dataplane whose lease is not renewed loses the VIP by its end, to the kernel or to the guard', {
    timeout: 120_000,
  }, async () => {
    const watch = new Watch(holder, other);
    holder.signalDataplane('SIGSTOP');
    await site.topology.silenceManagement(holder.router);
    await takenOver(watch);
    holder.signalDataplane('SIGCONT');
    await holder.isBackup();
    await watch.stop();
    const { lostMs, takenMs } = moved(watch);
    expect(watch.bothHad).toBe(0);
    expect(lostMs).toBeLessThan(endsWithinMs + toleranceMs);
    expect(takenMs).toBeGreaterThan(takenAfterMs - renewMs - toleranceMs);
    await holder.says('lease_ended');
    process.stdout.write(
      `strict, dataplane frozen: lost after ${lostMs.toFixed(0)} ms, taken after ${takenMs.toFixed(0)} ms\n`,
    );
  });
});
