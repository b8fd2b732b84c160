import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KoiError } from '../../src/koi-error.js';
import { openJetStreamLogs } from '../../src/log/jetstream.js';
import { MemoryLogServer } from '../../src/log/memory.js';
import { Outbox } from '../../src/log/outbox.js';
import type { LogStatus } from '../../src/log/port.js';
import { logNames } from '../../src/log/subjects.js';
import { realTimers } from '../../src/log/timers.js';
import { waitUntil } from '../lab/wait.js';
import { observation, transition } from './events.js';
import { KeptCluster, KeptServer } from './nats-cluster.js';
import { natsServerBinary } from './nats-server.js';

const mayMount = process.getuid?.() === 0;
let root: string;
let small: string;

beforeEach(() => {
  if (!mayMount) return;
  root = mkdtempSync(join(tmpdir(), 'koi-full-'));
  small = join(root, 'small');
  mkdirSync(small);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', small]);
});

afterEach(() => {
  if (!mayMount) return;
  execFileSync('umount', [small]);
  rmSync(root, { recursive: true, force: true });
});

/** Takes all that is left of the disk. */
function fill(): void {
  const handle = openSync(join(small, 'filler'), 'w');
  try {
    for (;;) writeSync(handle, Buffer.alloc(4096));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(handle);
  }
}

const empty = (): void => rmSync(join(small, 'filler'));

describe.skipIf(!mayMount)('a full disk', { timeout: 60_000 }, () => {
  it.skipIf(natsServerBinary === undefined)('of the log is told, and over when there is space again', async () => {
    const cluster = await KeptCluster.prepare(['r1']);
    const [plain] = cluster.servers;
    if (plain === undefined) throw new Error('no server');
    const server = new KeptServer({ ...plain.settings, storeDir: join(small, 'store') }, join(root, 'state'));
    let status: LogStatus | undefined;
    const logs = openJetStreamLogs({
      cluster: 'edge',
      name: 'r1',
      servers: [server.url],
      replicas: 1,
      authentication: { kind: 'none' },
    });
    try {
      logs.events.watch((now) => {
        status = now;
      });
      server.start();
      await server.serves();
      await waitUntil('the log', () => (status?.state === 'connected' ? undefined : JSON.stringify(status)), {
        deadlineMs: 20_000,
      });
      const kept: string[] = [];
      const append = async (): Promise<boolean> => {
        const event = transition('r1', 'x'.repeat(3000));
        const result = await logs.events.append(event, { deadlineMs: 500 });
        if (result.kind === 'stored') kept.push(event.id);
        return result.kind === 'stored';
      };
      expect(await append()).toBe(true);
      fill();
      await waitUntil('a refusal', async () => ((await append()) ? 'it still takes events' : undefined), {
        deadlineMs: 20_000,
      });
      await waitUntil(
        'the word',
        () => (server.status?.state === 'failing' ? undefined : String(server.status?.state)),
        {
          deadlineMs: 20_000,
        },
      );
      expect(server.status?.problem).toMatch(/no space left on device; make space in .*store/);
      await waitUntil(
        'a warning',
        async () => ((await append()) || status?.warnings.length === 0 ? JSON.stringify(status) : undefined),
        { deadlineMs: 20_000 },
      );
      expect(status?.warnings).toEqual([expect.stringContaining('KOI_EDGE answers nothing that is appended')]);

      empty();
      await waitUntil('an append', async () => ((await append()) ? undefined : JSON.stringify(server.status)), {
        deadlineMs: 30_000,
      });
      expect(status?.warnings).toEqual([]);
      const found: (string | undefined)[] = [];
      for await (const { event } of logs.events.read({ deadlineMs: 5000 })) found.push(event?.id);
      expect(found).toEqual(expect.arrayContaining(kept));
    } finally {
      await logs.close();
      await server.stop();
      await cluster.remove();
    }
  });

  it('of the outbox is told, loses nothing while the node lives, and is written when there is space again', async () => {
    const names = logNames('edge');
    const memory = new MemoryLogServer(names, realTimers);
    const log = memory.connect();
    log.disconnect();
    const troubles: KoiError[] = [];
    const open = (): Promise<Outbox> =>
      Outbox.open({
        path: join(small, 'outbox'),
        node: 'r1',
        names,
        log,
        summarize: (lost) => observation('r1', { type: 'eventsDropped', ...lost }),
        onTrouble: (error) => troubles.push(error),
      });
    const outbox = await open();
    const events = Array.from({ length: 30 }, () => transition('r1', 'x'.repeat(500)));
    const add = async (from: number, to: number): Promise<void> => {
      for (const event of events.slice(from, to)) outbox.add(event);
      await outbox.durable();
    };
    await add(0, 10);
    fill();
    await add(10, 20);
    expect(troubles.map(({ message }) => message)).toEqual([expect.stringContaining('no space left on device')]);
    empty();
    await add(20, 30);
    await outbox.close();

    log.reconnect();
    const revived = await open();
    await waitUntil('an empty outbox', () => (revived.pending === 0 ? undefined : `${revived.pending}`), {
      deadlineMs: 10_000,
    });
    await revived.close();
    const found: (string | undefined)[] = [];
    for await (const { event } of log.read({ deadlineMs: 1000 })) found.push(event?.id);
    expect(found).toEqual(events.map((event) => event.id));
  });
});
