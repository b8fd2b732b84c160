import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PortRecorder } from '../interop/port-recorder.js';
import { createSegment, powerOff, type Segment, serves } from '../interop/segment.js';
import { run } from '../lab/ip.js';
import type { Router } from '../lab/topology.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import { type AdvertKind, advertsOf, kindsOf, spacingMs } from './observation.js';
import { addressesOf, intervalMs, type Keeper, keepalivedKeeper, koiKeeper, writeKeepalivedFiles } from './pair.js';

/*
 * A keepalived pair, changed to Koi router by router with the imported file, as docs/migration.md says: before, in
 * between and after, one router serves each virtual IP, and what is on the wire is the same.
 */
const outputDirectory = fileURLToPath(new URL('../../.lab/import', import.meta.url));
const deadlineMs = 15_000;
const all = [...addressesOf.r1, ...addressesOf.r2];

interface Seen {
  readonly kinds: readonly AdvertKind[];
  readonly spacing: number;
  readonly takeoverMs: number;
}

let segment: Segment;
let routers: readonly [Router, Router];
let directory: string;
let recorders: readonly [PortRecorder, PortRecorder];
let keepers: [Keeper, Keeper];
const seen: { keepalived?: Seen; koi?: Seen } = {};

const missing = process.getuid?.() !== 0 || !existsSync('/usr/sbin/keepalived');

describe.skipIf(missing)('from keepalived to Koi (needs root and keepalived)', { timeout: 60_000 }, () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'koi-import-'));
    segment = await createSegment(6);
    routers = [segment.koi, segment.peer];
    mkdirSync(outputDirectory, { recursive: true });
    const recorder = ({ name, switchPort }: Router): PortRecorder => {
      const file = join(outputDirectory, `${name}.pcap`);
      writeFileSync(file, '');
      return new PortRecorder(segment.topology.switchNetns, switchPort, file);
    };
    recorders = [recorder(routers[0]), recorder(routers[1])];
    for (const each of recorders) await each.ready();
    const file = writeKeepalivedFiles(directory);
    keepers = [keepalivedKeeper(routers[0], file, directory), keepalivedKeeper(routers[1], file, directory)];
  });
  afterAll(() => {
    segment.topology.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  test('the keepalived pair', async () => {
    for (const keeper of keepers) keeper.start();
    seen.keepalived = await observe();
  });

  test('one router at a time, Koi beside keepalived, then alone', async () => {
    const file = join(directory, 'keepalived.conf');
    await change(1, koiKeeper(routers[1], file, directory));
    await change(0, koiKeeper(routers[0], file, directory));
  });

  test('the Koi pair does the same', async () => {
    seen.koi = await observe();
    for (const keeper of keepers) expect(await keeper.stop()).toBe(0);
    report();
    expect(seen.koi.kinds).toEqual(seen.keepalived?.kinds);
    for (const { spacing, takeoverMs } of [seen.keepalived, seen.koi].filter((each) => each !== undefined)) {
      expect(spacing).toBeGreaterThan(0.8 * intervalMs);
      expect(spacing).toBeLessThan(1.5 * intervalMs);
      expect(takeoverMs).toBeLessThan(4 * intervalMs + stallMs);
    }
  });
});

/** Stops what keeps a router's addresses, so that the other has them all, and starts another in its place. */
async function change(index: 0 | 1, next: Keeper): Promise<void> {
  const other = index === 0 ? 1 : 0;
  await keepers[index].stop();
  await settled(`${routers[other].name} to serve alone`, { [other]: all });
  keepers[index] = next;
  next.start();
  await asMeant(`${next.name} on ${routers[index].name}`);
}

const asMeant = (when: string): Promise<void> => settled(when, { 0: addressesOf.r1, 1: addressesOf.r2 });

/** Goes through what can happen to a pair, and notes what is on the wire. */
async function observe(): Promise<Seen> {
  await asMeant('each router to serve its own');
  const from = [recorders[0].frames.length, recorders[1].frames.length] as const;
  const [first, second] = routers;
  run('ip', ['-n', first.netns, 'link', 'set', 'eth0', 'down']);
  await settled('what tracks the uplink to move', { 1: all });
  run('ip', ['-n', first.netns, 'link', 'set', 'eth0', 'up']);
  await asMeant('it to move back');

  // From here on nobody hears it; what its processes say while they are ended is on its own port alone.
  await segment.topology.silenceLan(first);
  const silent = recorders[0].frames.length;
  await powerOff(segment, first);
  const dead = recorders[0].frames.length;
  await settled('the other to take over from the dead', { 1: all });
  const before = adverts(0, from[0], silent);
  const last = Math.max(...before.map(({ atSeconds }) => atSeconds));
  const next = adverts(1, from[1]).find(
    ({ atSeconds, vrid, family }) => atSeconds > last && vrid === 51 && family === 4,
  );
  keepers[0].start();
  await asMeant('the first to preempt');

  await keepers[1].stop();
  await settled('the first to serve alone', { 0: all });
  keepers[1].start();
  await asMeant('the second to take back what is its own');
  const said = [[...before, ...adverts(0, dead)], adverts(1, from[1])];
  const kinds = said.flatMap((each, index) => kindsOf(each).map((kind) => ({ ...kind, router: index })));
  const steady = adverts(1, from[1]).filter(({ vrid, priority }) => vrid === 52 && priority === 200);
  if (next === undefined) throw new Error(`${second.name} never sent an advert of its own`);
  return { kinds, spacing: spacingMs(steady), takeoverMs: (next.atSeconds - last) * 1_000 };
}

const adverts = (index: 0 | 1, from: number, to?: number) => advertsOf(recorders[index].frames.slice(from, to));

/** Waits until each of these routers serves these addresses, and the other none of them, several readings in a row. */
async function settled(what: string, wanted: Readonly<Partial<Record<number, readonly string[]>>>): Promise<void> {
  let readings = 0;
  const look = (): string | undefined => {
    const wrong = routers.flatMap((router, index) =>
      all.flatMap((address) => {
        const should = wanted[index]?.includes(address) === true;
        if ((serves(router, [address]) === 'all') === should) return [];
        return [`${router.name} ${should ? 'lacks' : 'has'} ${address}`];
      }),
    );
    readings = wrong.length === 0 ? readings + 1 : 0;
    return readings >= 5 ? undefined : `${wrong.join(', ') || 'only just'}`;
  };
  try {
    await waitUntil(what, look, { deadlineMs, everyMs: 20 });
  } catch (error) {
    const words = keepers.map((keeper, at) => `── ${routers[at]?.name} ${keeper.name}:\n${keeper.lastWords()}`);
    throw new Error([(error as Error).message, ...words].join('\n'));
  }
}

function report(): void {
  for (const [name, each] of Object.entries(seen)) {
    process.stdout.write(
      `${name}: takeover ${each.takeoverMs.toFixed(0)} ms, adverts every ${each.spacing.toFixed(0)} ms\n`,
    );
    for (const kind of each.kinds) process.stdout.write(`  ${Object.values(kind).flat().join(' ')}\n`);
  }
}
