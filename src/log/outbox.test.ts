import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../../test/lab/wait.js';
import { observation, transition } from '../../test/log/events.js';
import type { KoiError } from '../koi-error.js';
import { type MemoryLog, MemoryLogServer } from './memory.js';
import { Outbox, type OutboxOptions } from './outbox.js';
import { encodeFrame, parseFrames } from './outbox-file.js';
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
  directory = await mkdtemp(join(tmpdir(), 'koi-outbox-'));
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

  it('survives a crash at every point of its file: nothing durable is lost, nothing sent is doubled', async () => {
    log.disconnect();
    const first = await open();
    const events = batch(6);
    for (const event of events) {
      first.add(event);
      await first.durable();
    }
    const written = await readFile(path);
    const cuts: number[] = [];
    for (let length = 0; length <= written.length; length += 7) cuts.push(length);
    cuts.push(written.length);
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
