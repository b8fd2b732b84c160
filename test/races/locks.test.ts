import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LockName, LockSequence, lockRank } from '../../src/kernel/lock.js';
import { expectWithin, figureMs } from './figure.js';

/*
 * Two tools, one interface (ifupdown, LP 1337873): what was looked at is changed under the same lock, locks are taken in one
 * order, whoever holds one is named, and nobody waits for ever. Between processes. KOI_RACES=all runs at full length.
 */
const isAll = process.env.KOI_RACES === 'all';
const sections = isAll ? 1000 : 200;
const starts = isAll ? 1000 : 100;
const kills = isAll ? 100 : 5;
const processes = 8;
const root = fileURLToPath(new URL('../..', import.meta.url));
const program = fileURLToPath(new URL('./lock-racer.ts', import.meta.url));
const key = (name: string): string => `race-${process.pid}-${name}`;
const parent: LockName = { rank: 'parent', key: key('parent') };
const link: LockName = { rank: 'link', key: key('link') };

interface Answer {
  readonly sections: readonly (readonly [from: string, to: string])[];
  readonly refused: readonly string[];
  readonly longestMs: number;
}

class Racer {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  constructor() {
    this.#child = spawn(process.execPath, ['--import', 'tsx', program], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (this.#child.stdout === null) throw new Error('no output');
    this.#lines = createInterface({ input: this.#child.stdout });
  }

  static async started(): Promise<Racer> {
    const racer = new Racer();
    await racer.#says();
    return racer;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async #says(): Promise<unknown> {
    const [line] = (await once(this.#lines, 'line', { signal: AbortSignal.timeout(120_000) })) as [string];
    return JSON.parse(line);
  }

  order(order: object): Promise<unknown> {
    const said = this.#says();
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    return said;
  }

  race(locks: readonly LockName[], rounds: number, deadlineMs = 60_000): Promise<Answer> {
    return this.order({ locks, rounds, deadlineMs }) as Promise<Answer>;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.kill('SIGKILL');
    await gone;
  }
}

/** How many sections of different processes were open at the same moment. */
function overlaps(answers: readonly Answer[]): number {
  const all = answers
    .flatMap((answer, racer) => answer.sections.map(([from, to]) => ({ racer, from: BigInt(from), to: BigInt(to) })))
    .sort((a, b) => (a.from < b.from ? -1 : 1));
  return all.filter((section, at) => at > 0 && section.from < (all[at - 1]?.to ?? 0n)).length;
}

describe('locks between processes', { timeout: 300_000 }, () => {
  let racers: Racer[] = [];
  beforeAll(async () => {
    racers = await Promise.all(Array.from({ length: processes }, () => Racer.started()));
  }, 120_000);
  afterAll(async () => {
    await Promise.all(racers.map((racer) => racer.end()));
  });

  it(`the harness bites: without a lock, sections of ${processes} processes overlap`, async () => {
    const answers = await Promise.all(racers.map((racer) => racer.race([], 200)));
    expect(overlaps(answers)).toBeGreaterThan(0);
  });

  it(`${sections} sections by ${processes} processes, under the parent's lock and the link's: none overlap`, async () => {
    const startedMs = performance.now();
    const answers = await Promise.all(racers.map((racer) => racer.race([parent, link], sections / processes)));
    const tookMs = performance.now() - startedMs;
    expect(answers.flatMap(({ refused }) => refused)).toEqual([]);
    expect(answers.flatMap((answer) => answer.sections)).toHaveLength(sections);
    expect(overlaps(answers)).toBe(0);
    const longestMs = Math.max(...answers.map((answer) => answer.longestMs));
    process.stdout.write(
      `${processes} processes, ${sections} sections: 0 overlaps in ${tookMs.toFixed(0)} ms, longest wait ${longestMs.toFixed(0)} ms\n`,
    );
  });

  it(`parent and link are begun at the same moment ${starts} times, by two processes: neither waits for ever`, async () => {
    const [first, second] = racers;
    if (first === undefined || second === undefined) throw new Error('no racers');
    const answers = await Promise.all([first.race([parent, link], starts), second.race([parent, link], starts)]);
    expect(answers.flatMap(({ refused }) => refused)).toEqual([]);
    // The other way round is what hangs elsewhere; here it is refused before anything is waited for.
    const [inverted] = await Promise.all([first.race([link, parent], starts), second.race([parent, link], starts)]);
    expect(new Set(inverted.refused)).toEqual(
      new Set([`lock of parent ${parent.key} must be taken before lock of link ${link.key}`]),
    );
    expect(inverted.refused).toHaveLength(starts);
  });

  it('while the holder is stopped, every waiter is back at its deadline and knows who it is', async () => {
    const [holder, ...waiters] = racers;
    if (holder === undefined) throw new Error('no racers');
    await holder.order({ hold: [parent] });
    holder.kill('SIGSTOP');
    const deadlineMs = 200;
    const answers = await Promise.all(waiters.map((racer) => racer.race([parent], 1, deadlineMs)));
    for (const { refused } of answers) {
      expect(refused).toEqual([expect.stringContaining(`not free within ${deadlineMs} ms, held by pid ${holder.pid}`)]);
    }
    const late = answers.map(({ longestMs }) => longestMs - deadlineMs);
    process.stdout.write(
      `${waiters.length} waiters of a stopped holder: back at most ${Math.max(...late).toFixed(0)} ms after the deadline\n`,
    );
    expectWithin(late, 100);
    await holder.end();
    racers = [...waiters, await Racer.started()];
  });

  it(`a holder is killed ${kills} times: the next one has the lock`, async () => {
    const tookMs: number[] = [];
    for (let round = 0; round < kills; round += 1) {
      const holder = await Racer.started();
      await holder.order({ hold: [parent] });
      const sequence = new LockSequence();
      const waiting = sequence.acquire(parent, 60_000);
      const startedMs = performance.now();
      holder.kill('SIGKILL');
      await waiting;
      tookMs.push(performance.now() - startedMs);
      sequence.end();
      await holder.end().catch(() => undefined);
    }
    figureMs(`holder killed ${kills} times: the lock was had after`, tookMs, 1);
    expectWithin(tookMs, 50);
  });
});

describe('in one process, whatever the schedule', () => {
  it('never two tasks inside, and whoever asks in the right order gets all of its locks', async () => {
    const ranks = ['namespace', 'parent', 'link'] as const;
    const name = fc.record({ rank: fc.constantFrom(...ranks), key: fc.integer({ min: 1, max: 3 }) });
    const wish = fc.uniqueArray(name, { maxLength: 4, selector: ({ rank, key: of }) => `${rank} ${of}` });
    const order = (a: { rank: (typeof ranks)[number]; key: number }, b: typeof a): number =>
      lockRank[a.rank] - lockRank[b.rank] || a.key - b.key;
    await fc.assert(
      fc.asyncProperty(fc.array(wish, { minLength: 2, maxLength: 6 }), fc.scheduler(), async (wishes, scheduler) => {
        const inside = new Map<string, number>();
        const task = async (wanted: readonly { rank: (typeof ranks)[number]; key: number }[]): Promise<void> => {
          const sequence = new LockSequence();
          const mine: string[] = [];
          try {
            for (const { rank, key: of } of [...wanted].sort(order)) {
              await sequence.acquire({ rank, key: 1_000_000 + (process.pid % 100_000) * 10 + of }, 20_000);
              const name = `${rank} ${of}`;
              mine.push(name);
              inside.set(name, (inside.get(name) ?? 0) + 1);
              expect(inside.get(name)).toBe(1);
              await scheduler.schedule(Promise.resolve(), name);
            }
          } finally {
            for (const name of mine) inside.set(name, 0);
            sequence.end();
          }
          expect(mine).toHaveLength(wanted.length);
        };
        await scheduler.waitFor(Promise.all(wishes.map(task)));
      }),
      { numRuns: isAll ? 10_000 : 200 },
    );
  }, 600_000);
});
