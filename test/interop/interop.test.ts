import { describe, expect, test } from 'vitest';
import { cases } from './cases.js';
import type { Rank } from './company.js';
import { Encounter } from './encounter.js';

/*
 * Koi beside keepalived, FRR and ucarp, the real ones, in network namespaces. Each row of the table is gone through
 * twice, Koi once the better and once the worse router, so that every change of master happens both ways: takeover,
 * preemption, graceful exit; the rows with slow adverts once, but for `npm run interop`. Waits are for conditions with
 * deadlines; nothing here measures time.
 */
const isRoot = process.getuid?.() === 0;

/** The rows with slow adverts take a quarter of a minute each: `npm run interop` goes through them from both sides. */
const isWhole = process.env.KOI_INTEROP === 'all';
const ranksOf = (intervalMs: number): readonly Rank[] =>
  isWhole || intervalMs <= splitUpToIntervalMs ? ['higher', 'lower'] : ['higher'];

/** Two masters are only waited for where their adverts are quick; the rules are the same at any interval. */
const splitUpToIntervalMs = 100;

describe.skipIf(!isRoot)('in company, each router by its own protocol (needs root)', () => {
  for (const row of cases) {
    for (const koiRank of ranksOf(row.intervalMs)) {
      test(`${row.name}: koi is the ${koiRank}`, { timeout: 120_000 }, async (context) => {
        const missing = row.missing();
        if (missing !== undefined) context.skip(missing);
        const encounter = await Encounter.begin(row, koiRank);
        try {
          expect(encounter.refused, 'koi check').toEqual([]);
          await changesOfMaster(encounter, koiRank, row.intervalMs <= splitUpToIntervalMs);
          const { wrong, faulty, silentAbout } = await encounter.judge();
          expect(wrong, encounter.capture).toEqual([]);
          expect(faulty, encounter.capture).toEqual([]);
          expect(silentAbout, encounter.capture).toEqual([]);
        } finally {
          encounter.close();
        }
      });
    }
  }
});

async function changesOfMaster(encounter: Encounter, koiRank: Rank, withSplit: boolean): Promise<void> {
  await Promise.all([encounter.start('lower'), encounter.start('higher')]);
  await encounter.settled('the higher to become the only master', 'higher');

  await encounter.powerOff('higher');
  await encounter.settled('the lower to take over from the dead', 'lower');

  await encounter.start('higher');
  await encounter.settled('the higher to preempt', 'higher');

  if (withSplit) {
    await encounter.silence('lower');
    await encounter.settled('both to be masters while they cannot hear each other', 'higher', 'lower');
    await encounter.mend('lower');
    await encounter.settled('the lower to give in once it hears the higher', 'higher');
  }

  // Others take over once it has let go, which is before it has ended.
  const left = encounter.stop('higher');
  // Its failure is reported below, which may come later than the rejection.
  left.catch(() => {});
  await encounter.settled('the lower to take over from one that left', 'lower');
  const exits = { higher: left, lower: encounter.stop('lower') };
  await encounter.settled('nobody to serve in the end');
  await Promise.all(Object.values(exits));
  expect(await exits[koiRank]).toBe(0);
}
