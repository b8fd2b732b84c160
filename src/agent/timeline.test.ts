import { beforeEach, describe, expect, it } from 'vitest';
import { observation, ownershipEvent, transition } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import type { KoiEvent } from '../log/event.js';
import { type MemoryLog, MemoryLogServer } from '../log/memory.js';
import { logNames } from '../log/subjects.js';
import type { TimelineQuery } from '../observe/http-sources.js';
import type { TimelineEntry } from '../observe/status.js';
import { readTimeline } from './timeline.js';

const startMs = 1_700_000_000_000;
let timers: ManualTimers;
let log: MemoryLog;
let abort: AbortController;

beforeEach(() => {
  timers = new ManualTimers(startMs);
  log = new MemoryLogServer(logNames('edge'), timers).connect();
  abort = new AbortController();
});

async function happen(...events: KoiEvent[]): Promise<void> {
  for (const event of events) {
    const stored = log.append(event, { deadlineMs: 50 });
    await timers.advance(1);
    expect((await stored).kind).toBe('stored');
  }
}

const query = (over: Partial<TimelineQuery> = {}): TimelineQuery => ({
  vr: undefined,
  sinceMs: undefined,
  limit: 1000,
  follow: false,
  signal: abort.signal,
  ...over,
});

async function read(over: Partial<TimelineQuery> = {}): Promise<TimelineEntry[]> {
  const entries: TimelineEntry[] = [];
  for await (const entry of readTimeline(log, query(over))) entries.push(entry);
  return entries;
}

/** Reads in the background until aborted. */
function follow(over: Partial<TimelineQuery> = {}): { readonly entries: TimelineEntry[]; readonly end: Promise<void> } {
  const entries: TimelineEntry[] = [];
  const end = (async () => {
    for await (const entry of readTimeline(log, query({ follow: true, ...over }))) entries.push(entry);
  })();
  return { entries, end };
}

const sequences = (entries: readonly TimelineEntry[]): number[] => entries.map(({ sequence }) => sequence);

describe('the timeline', () => {
  it('is empty where nothing happened', async () => {
    expect(await read()).toEqual([]);
  });

  it('says what happened, to whom, and why', async () => {
    const claim = ownershipEvent({ node: 'r1', term: 4, id: 'c4' });
    const active = { ...transition('r1', 'attached'), causeId: 'c4' };
    await happen(claim, active, observation('r2', { type: 'nodeStopped', reason: 'shutdown' }));
    expect(await read()).toMatchObject([
      {
        sequence: 1,
        node: 'r1',
        vr: 'gw',
        term: 4,
        type: 'claimed',
        cause: null,
        at: new Date(claim.wallTimeMs).toISOString(),
      },
      {
        sequence: 2,
        type: 'transition',
        text: expect.stringContaining('backup → master') as string,
        cause: expect.stringContaining('claimed term 4') as string,
      },
      { sequence: 3, node: 'r2', vr: null, term: null, type: 'nodeStopped' },
    ]);
  });

  it('tells what several nodes saw in the order of time, however late it reached the log', async () => {
    const at = (event: KoiEvent, wallTimeMs: number): KoiEvent => ({ ...event, wallTimeMs });
    await happen(
      at(transition('r2', 'later'), startMs + 30),
      at(transition('r1', 'first'), startMs + 10),
      at(transition('r2', 'together'), startMs + 20),
      at(transition('r1', 'together'), startMs + 20),
    );
    expect(sequences(await read())).toEqual([2, 3, 4, 1]);
    expect(sequences(await read({ limit: 2 }))).toEqual([3, 4]);
  });

  it('turns nothing round because a clock is behind: not cause and effect, not the owners of one virtual router', async () => {
    const at = (event: KoiEvent, wallTimeMs: number): KoiEvent => ({ ...event, wallTimeMs });
    await happen(
      at(ownershipEvent({ node: 'r1', term: 4, id: 'c4' }), startMs + 500),
      at({ ...transition('r2', 'attached'), causeId: 'c4' }, startMs + 100),
      at(ownershipEvent({ node: 'r2', term: 5, id: 'c5' }), startMs + 110),
      at({ ...transition('r2', 'attached'), causeId: 'c5' }, startMs + 120),
      at(transition('r1', 'before'), startMs + 90),
    );
    expect(sequences(await read())).toEqual([5, 1, 2, 3, 4]);
  });

  it('names a cause that is not at hand by its id', async () => {
    await happen({ ...transition('r1', 'attached'), causeId: 'long-ago' });
    expect(await read()).toMatchObject([{ cause: 'long-ago' }]);
  });

  it('shows one virtual router where asked, and the newest ones where limited', async () => {
    await happen(
      transition('r1', 'a'),
      observation('r1', { type: 'logLost', reason: 'cut' }),
      transition('r2', 'b'),
      transition('r1', 'c'),
    );
    expect(sequences(await read({ vr: 'gw' }))).toEqual([1, 3, 4]);
    expect(sequences(await read({ vr: 'gw', limit: 2 }))).toEqual([3, 4]);
    expect(sequences(await read({ vr: 'dns' }))).toEqual([]);
    expect(sequences(await read({ limit: 1 }))).toEqual([4]);
  });

  it('keeps to the limit over a long log', async () => {
    await happen(...Array.from({ length: 60 }, () => transition('r1', 'x')));
    expect(sequences(await read({ limit: 7 }))).toEqual([54, 55, 56, 57, 58, 59, 60]);
  });

  it('begins where asked', async () => {
    await happen(transition('r1', 'a'));
    await timers.advance(60_000);
    await happen(transition('r1', 'b'));
    expect(sequences(await read({ sinceMs: startMs + 30_000 }))).toEqual([2]);
  });

  it('goes on with what happens, until nobody reads any more', async () => {
    await happen(transition('r1', 'a'), transition('r1', 'b'));
    const { entries, end } = follow({ limit: 1 });
    await timers.advance(10);
    expect(sequences(entries)).toEqual([2]);
    await happen(transition('r1', 'c'), observation('r1', { type: 'logLost', reason: 'cut' }));
    await timers.advance(10);
    expect(sequences(entries)).toEqual([2, 3, 4]);
    abort.abort();
    await end;
    await happen(transition('r1', 'd'));
    expect(entries).toHaveLength(3);
  });

  it('follows one virtual router, and knows causes from before', async () => {
    await happen(ownershipEvent({ node: 'r1', term: 4, id: 'c4' }));
    const { entries, end } = follow({ vr: 'gw' });
    await timers.advance(10);
    await happen(observation('r1', { type: 'logLost', reason: 'cut' }), {
      ...transition('r1', 'attached'),
      causeId: 'c4',
    });
    await timers.advance(10);
    expect(entries.at(-1)).toMatchObject({ sequence: 3, cause: expect.stringContaining('claimed term 4') as string });
    expect(entries).toHaveLength(2);
    abort.abort();
    await end;
  });

  it('followed from a time on does not show what happened before, even if nothing has happened since', async () => {
    await happen(transition('r1', 'a'), transition('r1', 'b'));
    await timers.advance(60_000);
    const { entries, end } = follow({ sinceMs: startMs + 30_000 });
    await timers.advance(10);
    expect(entries).toEqual([]);
    await happen(transition('r1', 'c'));
    await timers.advance(10);
    expect(sequences(entries)).toEqual([3]);
    abort.abort();
    await end;
  });

  it('fails with the reason where the log cannot be read', async () => {
    log.disconnect();
    await expect(read()).rejects.toMatchObject({ code: 'unreachable' });
  });
});
