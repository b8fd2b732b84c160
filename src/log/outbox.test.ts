import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../../test/lab/wait.js';
import { observation, transition } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { bootId } from '../core/identity.js';
import type { KoiError } from '../koi-error.js';
import { type MemoryLog, MemoryLogServer } from './memory.js';
import { Outbox, type OutboxOptions } from './outbox.js';
import { encodeFrame, parseFrames } from './outbox-file.js';
import type { AppendResult, EventLog } from './port.js';
import { logNames } from './subjects.js';
import { realTimers } from './timers.js';

const names = logNames('edge');
const wallTimers = { ...realTimers, nowMs: () => Date.now() };

let directory: string;
let path: string;
let server: MemoryLogServer;
let log: MemoryLog;
let troubles: KoiError[];
let opened: Outbox[];

beforeEach(async () => {
  // In memory where there is such a place: a thousand crashes would else wait for a thousand disks.
  directory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'koi-outbox-'));
  path = join(directory, 'outbox');
  server = new MemoryLogServer(names, wallTimers);
  log = server.connect();
  troubles = [];
  opened = [];
});

afterEach(async () => {
  await Promise.all(opened.map((outbox) => outbox.close()));
  await rm(directory, { recursive: true, force: true });
});

async function open(options: Partial<OutboxOptions> = {}): Promise<Outbox> {
  const outbox = await Outbox.open({
    path,
    node: 'r1',
    names,
    log,
    summarize: ({ count, firstMs, lastMs }) => observation('r1', { type: 'eventsDropped', count, firstMs, lastMs }),
    onTrouble: (error) => troubles.push(error),
    ...options,
  });
  opened.push(outbox);
  return outbox;
}

async function stored(): Promise<{ id: string; type: string }[]> {
  const events: { id: string; type: string }[] = [];
  for await (const { event } of log.read({ deadlineMs: 100 })) {
    events.push({ id: event?.id ?? '', type: event?.payload.type ?? '' });
  }
  return events;
}

const ids = async (): Promise<string[]> => (await stored()).map(({ id }) => id);

const emptied = (outbox: Outbox): Promise<number> =>
  waitUntil('an empty outbox', () => (outbox.pending === 0 ? undefined : `${outbox.pending} pending`), {
    deadlineMs: 5000,
    everyMs: 1,
  });

const batch = (count: number) => Array.from({ length: count }, (_, i) => transition('r1', `reason ${i}`));

describe('the outbox', () => {
  it('passes events on at once while the log is there', async () => {
    const outbox = await open();
    const events = batch(20);
    for (const event of events) outbox.add(event);
    await emptied(outbox);
    expect(await ids()).toEqual(events.map((event) => event.id));
    await outbox.close();
    expect((await open()).pending).toBe(0);
  });

  it('keeps them while it is away, and brings them in order when it returns', async () => {
    const outbox = await open();
    log.disconnect();
    const events = batch(50);
    for (const event of events) outbox.add(event);
    await outbox.durable();
    expect(outbox.pending).toBe(50);
    log.reconnect();
    await emptied(outbox);
    expect(await ids()).toEqual(events.map((event) => event.id));
    expect(troubles).toEqual([]);
  });

  it('says what a node is before what happened to it, and never before what an earlier boot has left', async () => {
    const outbox = await open();
    log.disconnect();
    const before = { ...transition('r1', 'of the boot before'), boot: bootId('earlier') };
    const [first, second] = batch(2);
    const started = (version: string) => observation('r1', { type: 'nodeStarted', version, virtualRouters: [] });
    const [said, saidAgain] = [started('1'), started('2')];
    if (first === undefined || second === undefined) throw new Error('no events');
    for (const event of [before, first, second, said, saidAgain]) outbox.add(event);
    log.reconnect();
    await emptied(outbox);
    expect(await ids()).toEqual([before, said, saidAgain, first, second].map(({ id }) => id));
  });

  it('lets go before what others wait for, but not for ever, and not with what a node is', async () => {
    let isWanted = true;
    const outbox = await open({ isWanted: () => isWanted });
    const [first, second, third] = batch(3);
    const said = observation('r1', { type: 'nodeStarted', version: '1', virtualRouters: [] });
    if (first === undefined || second === undefined || third === undefined) throw new Error('no events');
    for (const event of [first, second, third, said]) outbox.add(event);
    await waitUntil('what the node is', () => (server.lastSequence === 1 ? undefined : 'none'), { deadlineMs: 2000 });
    expect(await ids()).toEqual([said.id]);
    await waitUntil('one more', () => (server.lastSequence === 2 ? undefined : 'none'), { deadlineMs: 3000 });
    isWanted = false;
    await emptied(outbox);
    expect(await ids()).toEqual([said, first, second, third].map(({ id }) => id));
  });

  it('writes down together what the log takes in a row', async () => {
    const timers = new ManualTimers();
    const outbox = await open({ timers });
    const settled = async (): Promise<number> =>
      parseFrames(await readFile(path)).frames.filter(({ kind, index }) => kind === 'stored' && index > 0).length;
    for (const event of batch(20)) outbox.add(event);
    await emptied(outbox);
    await outbox.durable();
    for (const event of batch(20)) outbox.add(event);
    await emptied(outbox);
    expect(await settled()).toBeLessThan(40);
    await timers.advance(100);
    await outbox.durable();
    expect(await settled()).toBe(40);
  });

  it('stores nothing twice when answers get lost', async () => {
    const outbox = await open();
    server.faults.losesAnswers = true;
    const events = batch(5);
    for (const event of events) outbox.add(event);
    await waitUntil('the first', () => (server.lastSequence > 0 ? undefined : 'none'), { deadlineMs: 2000 });
    log.disconnect();
    server.faults.losesAnswers = false;
    log.reconnect();
    await emptied(outbox);
    expect(await ids()).toEqual(events.map((event) => event.id));
  });

  it('survives a crash at every point of its file: nothing durable is lost, nothing sent is doubled', {
    timeout: 60_000,
  }, async () => {
    log.disconnect();
    const first = await open();
    const events = batch(3);
    for (const event of events) {
      first.add(event);
      await first.durable();
    }
    const written = await readFile(path);
    const cuts = Array.from({ length: written.length + 1 }, (_, length) => length);
    await first.close();

    for (const length of cuts) {
      const { frames } = parseFrames(written.subarray(0, length));
      const durable = frames.flatMap((frame) => (frame.kind === 'event' ? [frame.encoded] : []));
      server = new MemoryLogServer(names, wallTimers);
      log = server.connect();
      // Two got there before the crash, and their answers did not reach the disk.
      for (const event of events.slice(0, 2)) await log.append(event, { deadlineMs: 1000 });
      await writeFile(path, written.subarray(0, length));
      const revived = await open();
      await emptied(revived);
      await revived.close();
      const expected = events.slice(0, Math.max(2, durable.length)).map((event) => event.id);
      expect(await ids(), `cut at ${length} of ${written.length}`).toEqual(expected);
    }
  });

  it('reads its subject back before repeating what an earlier run may have stored long ago', async () => {
    const outbox = await open();
    const events = batch(3);
    await outbox.close();
    log.disconnect();
    const crashed = await open();
    for (const event of events) crashed.add(event);
    await crashed.durable();
    await copyFile(path, `${path}.crash`);
    log.reconnect();
    await emptied(crashed);
    await crashed.close();

    // Its file says nothing of the answers, and the log has forgotten the ids.
    await copyFile(`${path}.crash`, path);
    const realNow = wallTimers.nowMs;
    wallTimers.nowMs = () => Date.now() + 600_000;
    const later = batch(1);
    const revived = await open();
    for (const event of later) revived.add(event);
    await emptied(revived);
    wallTimers.nowMs = realNow;
    expect(await ids()).toEqual([...events, ...later].map((event) => event.id));
  });

  it('survives a crash at every byte of what it writes while the log takes events', { timeout: 60_000 }, async () => {
    const outbox = await open();
    const events = batch(2);
    for (const event of events) {
      outbox.add(event);
      await emptied(outbox);
      await outbox.durable();
    }
    await outbox.close();
    const written = await readFile(path);
    const later = batch(1);
    for (let length = 0; length <= written.length; length++) {
      server = new MemoryLogServer(names, wallTimers);
      log = server.connect();
      for (const event of events) await log.append(event, { deadlineMs: 1000 });
      await writeFile(path, written.subarray(0, length));
      const revived = await open();
      for (const event of later) revived.add(event);
      await emptied(revived);
      await revived.close();
      const expected = [...events, ...later].map((event) => event.id);
      expect(await ids(), `cut at ${length} of ${written.length}`).toEqual(expected);
    }
  });

  it('stores nothing twice when an append arrives minutes after it was given up', async () => {
    const late: (() => Promise<AppendResult>)[] = [];
    const slow: EventLog = {
      append: (event, options) => {
        if (late.length > 0) return log.append(event, options);
        late.push(() => log.append(event, options));
        return Promise.resolve({ kind: 'unavailable', reason: 'timeout', maybeStored: true });
      },
      read: (options) => log.read(options),
      follow: (options) => log.follow(options),
      watch: (listener) => log.watch(listener),
    };
    const outbox = await open({ log: slow });
    const events = batch(3);
    for (const event of events) outbox.add(event);
    await emptied(outbox);
    const realNow = wallTimers.nowMs;
    // Past the window in which the log knows an id again.
    wallTimers.nowMs = () => Date.now() + 600_000;
    expect(await late[0]?.()).toEqual({ kind: 'conflict' });
    wallTimers.nowMs = realNow;
    expect(await ids()).toEqual(events.map((event) => event.id));
  });

  it('goes on, each event once, in a log that was made anew or has lost its end', async () => {
    const outbox = await open();
    const before = batch(5);
    for (const event of before) outbox.add(event);
    await emptied(outbox);
    server.loseTail(2);
    const [b, c] = batch(2);
    if (b === undefined || c === undefined) throw new Error('no events');
    outbox.add(b);
    await emptied(outbox);
    expect(await ids()).toEqual([...before.slice(0, 3), b].map((event) => event.id));
    server.recreate();
    outbox.add(c);
    await emptied(outbox);
    expect(await ids()).toEqual([c.id]);
    await outbox.close();

    const [d] = batch(1);
    if (d === undefined) throw new Error('no event');
    const revived = await open();
    revived.add(d);
    await emptied(revived);
    expect(await ids()).toEqual([c.id, d.id]);
    expect(troubles).toEqual([]);
  });

  it('drops the least telling first when full, says so at once, and tells the log how many', async () => {
    const outbox = await open({ capacity: 10 });
    log.disconnect();
    const minor = Array.from({ length: 8 }, (_, i) =>
      observation('r1', { type: 'linkRepaired', kind: 'address', object: String(i) }),
    );
    const telling = batch(7);
    for (const event of [...minor, ...telling]) outbox.add(event);
    expect(outbox.pending).toBe(10);
    expect(troubles.map((error) => error.message)).toEqual([expect.stringContaining('full (10 events)')]);
    log.reconnect();
    await emptied(outbox);
    const all = await stored();
    const kept = [...minor.slice(5), ...telling].map((event) => event.id);
    expect(all.slice(0, 10).map(({ id }) => id)).toEqual(kept);
    expect(all.slice(10).map(({ type }) => type)).toEqual(['eventsDropped']);
    const [summary] = all.slice(10);
    for await (const { event } of log.read({ deadlineMs: 100 })) {
      if (event?.id !== summary?.id) continue;
      expect(event?.payload).toMatchObject({ count: 5, firstMs: minor[0]?.wallTimeMs, lastMs: minor[4]?.wallTimeMs });
    }
  });

  it('remembers across a crash how many were dropped', async () => {
    log.disconnect();
    const outbox = await open({ capacity: 4 });
    for (const event of batch(6)) outbox.add(event);
    await outbox.close();
    log.reconnect();
    await emptied(await open());
    expect((await stored()).map(({ type }) => type)).toEqual([...Array(4).fill('transition'), 'eventsDropped']);
  });

  it('keeps its file small while the log stays away', async () => {
    log.disconnect();
    const outbox = await open({ capacity: 20 });
    for (const event of batch(1000)) {
      outbox.add(event);
      await outbox.durable();
    }
    expect((await readFile(path)).length).toBeLessThan(20 * 3 * 400);
    expect(outbox.pending).toBe(20);
  });

  it('reports a cut end of its file', async () => {
    const frame = encodeFrame({ kind: 'event', index: 1, encoded: Uint8Array.of(1) });
    await writeFile(path, frame.subarray(0, frame.length - 1));
    await open();
    expect(troubles[0]?.message).toContain(`${frame.length - 1} bytes`);
  });

  it('refuses to start on a path it cannot use, with a remedy', async () => {
    await writeFile(join(directory, 'file'), '');
    await expect(open({ path: join(directory, 'file', 'outbox') })).rejects.toMatchObject({
      code: 'log',
      remedy: expect.stringContaining('stateDir'),
    });
  });
});

describe('the outbox file', () => {
  const frames = [
    { kind: 'event', index: 1, encoded: Uint8Array.of(1, 2, 3) },
    { kind: 'stored', index: 1, sequence: 2 ** 40 },
    { kind: 'dropped', index: 7, lost: { count: 3, firstMs: 1.5, lastMs: 2.5 } },
  ] as const;
  const bytes = Buffer.concat(frames.map(encodeFrame));

  it('comes back as it was', () => {
    expect(parseFrames(bytes)).toEqual({ frames, unreadableBytes: 0 });
  });

  it('ends at the first flipped bit, whichever it is', () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const { frames: read, unreadableBytes } = parseFrames(damaged);
      expect(unreadableBytes).toBeGreaterThan(0);
      expect(frames.slice(0, read.length)).toEqual(read);
    }
  });
});
