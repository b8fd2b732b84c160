import { beforeEach, describe, expect, it } from 'vitest';
import { observation, ownershipEvent, transition } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import type { KoiEvent } from '../log/event.js';
import { type MemoryLog, MemoryLogServer } from '../log/memory.js';
import type { EventLog, ReadOptions, StoredEvent } from '../log/port.js';
import { logNames } from '../log/subjects.js';
import type { TimelineQuery } from '../observe/http-sources.js';
import type { TimelineEntry } from '../observe/status.js';
import { RecentEvents } from './recent-events.js';
import { Timeline } from './timeline.js';

const startMs = 1_700_000_000_000;
let timers: ManualTimers;
let log: MemoryLog;
let abort: AbortController;
let recent: RecentEvents;
let timeline: Timeline;

beforeEach(() => {
  timers = new ManualTimers(startMs);
  log = new MemoryLogServer(logNames('edge'), timers).connect();
  abort = new AbortController();
  recent = new RecentEvents();
  timeline = new Timeline({ log, recent, trouble: () => undefined, now: () => timers.nowMs() });
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
  ...over,
});

async function read(over: Partial<TimelineQuery> = {}): Promise<readonly TimelineEntry[]> {
  return (await timeline.read(query(over))).entries;
}

/** Reads in the background until aborted. */
function follow(over: Partial<TimelineQuery> = {}): { readonly entries: TimelineEntry[]; readonly end: Promise<void> } {
  const entries: TimelineEntry[] = [];
  const end = (async () => {
    for await (const entry of timeline.follow(query(over), abort.signal)) entries.push(entry);
  })();
  return { entries, end };
}

const sequences = (entries: readonly TimelineEntry[]): number[] => entries.map(({ sequence }) => sequence);

describe.each([
  ['the log', false],
  ['what the agent has read', true],
])('the timeline, from %s', (_, isRead) => {
  beforeEach(async () => {
    if (!isRead) return;
    log.follow({ from: 1, onEvent: (stored) => recent.add(stored), onCaughtUp: () => recent.caughtUp() });
    await timers.advance(1);
  });

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
});

describe('how much of the log a timeline reads', () => {
  const asked: ReadOptions[] = [];
  let brought = 0;

  /** A log of so many events, of which every `gwEvery`th is of `gw`; made as they are read. */
  function longLog(length: number, gwEvery = 1): EventLog {
    const unused = (): never => {
      throw new Error('not under test');
    };
    const eventAt = (sequence: number): StoredEvent => ({
      sequence,
      subject: '',
      storedAtMs: startMs + sequence,
      bytes: 200,
      hash: '',
      event: observation('r1', { type: 'fenced', reason: 'x' }, { vr: sequence % gwEvery === 0 ? 'gw' : 'dns' }),
    });
    return {
      append: unused,
      follow: unused,
      watch: unused,
      async *read(options) {
        asked.push(options);
        for (let at = Math.max(1, length - (options.newest ?? length) + 1); at <= length; at++) {
          brought += 1;
          yield eventAt(at);
        }
      },
    };
  }

  const of = (events: EventLog, trouble?: string): Timeline =>
    new Timeline({ log: events, recent, trouble: () => trouble, now: () => timers.nowMs() });
  const agentHasRead = async (events: EventLog, newest: number): Promise<void> => {
    for await (const stored of events.read({ newest, deadlineMs: 1 })) recent.add(stored);
    recent.caughtUp();
    asked.length = 0;
    brought = 0;
  };

  beforeEach(() => {
    asked.length = 0;
    brought = 0;
  });

  it('nothing where the agent has read as much: the log may be silent', async () => {
    const events = longLog(1_000_000);
    await agentHasRead(events, 20_000);
    const { entries, notice } = await of(events).read(query({ limit: 100 }));
    expect([entries.length, entries.at(-1)?.sequence, notice]).toEqual([100, 1_000_000, undefined]);
    const lately = await of(events).read(query({ vr: 'nothing', sinceMs: startMs + 998_000 }));
    expect([lately, asked]).toEqual([{ entries: [] }, []]);
  });

  it('its end, however long it is, where the agent has not read it yet', async () => {
    const { entries } = await of(longLog(1_000_000)).read(query({ limit: 100 }));
    expect([entries.length, entries.at(-1)?.sequence]).toEqual([100, 1_000_000]);
    expect(brought).toBeLessThan(2_000);
  });

  it('more of its end where the agent does not hold enough, and says where it stopped', async () => {
    const events = longLog(300_000, 10_000);
    await agentHasRead(events, 20_000);
    const { entries, notice } = await of(events).read(query({ vr: 'gw' }));
    expect(entries).toHaveLength(10);
    expect(brought).toBe(100_000);
    expect(notice).toContain('only the newest 100000 events of the log were looked through, those since 2023-');
    expect((await of(events).read(query({ vr: 'gw', limit: 10 }))).notice).toBeUndefined();
  });

  it('is all of a log that is no longer than that', async () => {
    const events = longLog(50_000, 10_000);
    await agentHasRead(events, 20_000);
    expect((await of(events).read(query({ vr: 'gw' }))).notice).toBeUndefined();
    expect(brought).toBe(50_000);
  });

  it('where it cannot be read, what the agent holds, and says what may be missing', async () => {
    const events = longLog(20_000, 10_000);
    await agentHasRead(events, 20_000);
    const away = await of(events, 'no server answers').read(query({ vr: 'gw' }));
    expect(away.entries.map(({ sequence }) => sequence)).toEqual([20_000]);
    expect(away.notice).toMatch(/cannot be read now: what happened after 2023-.* may be missing: no server answers/);
    expect(asked).toEqual([]);

    log.disconnect();
    const silent = await of({ ...events, read: (options) => log.read(options) }).read(query({ vr: 'gw' }));
    expect(silent.entries).toEqual(away.entries);
    expect(silent.notice).toMatch(/^what happened before 2023-.* is not shown: the event log is not connected/);
  });

  it('nor for longer than anybody waits', async () => {
    const events = longLog(50_000, 10_000);
    const slow = new Timeline({ log: events, recent, trouble: () => undefined, now: () => brought });
    await expect(slow.read(query({ vr: 'gw' }))).rejects.toMatchObject({ code: 'timeout' });
    expect(brought).toBeLessThan(16_000);
    await agentHasRead(events, 20_000);
    const { entries, notice } = await slow.read(query({ vr: 'gw' }));
    expect(entries).toHaveLength(1);
    expect(notice).toContain('takes longer than 15000 ms to read');
  });

  it('fails with the reason where the agent has read nothing either', async () => {
    log.disconnect();
    await expect(read()).rejects.toMatchObject({ code: 'unreachable' });
  });
});
