import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { leaveStaleSocket } from '../../test/daemon/stale-socket.js';
import type { UnreadLine } from '../ipc/line-channel.js';
import { protocolVersion, type ToAgent, type ToDataplane } from '../ipc/protocol.js';
import type { KoiError } from '../koi-error.js';
import { DataplanePort } from './dataplane-port.js';

/** A dataplane as raw lines: it answers each hello with `greeting`, unless that is undefined. */
class RawDataplane {
  readonly server: Server;
  readonly sockets: Socket[] = [];
  readonly heard: ToDataplane[] = [];
  greeting: Record<string, unknown> | undefined = hello();

  private constructor(server: Server) {
    this.server = server;
    server.on('connection', (socket) => {
      this.sockets.push(socket);
      socket.on('error', () => undefined);
      createInterface({ input: socket })
        .on('error', () => undefined)
        .on('line', (line) => {
          const message = JSON.parse(line) as ToDataplane;
          this.heard.push(message);
          if (message.type === 'hello' && this.greeting !== undefined) this.say(this.greeting);
        });
    });
  }

  static async listen(): Promise<RawDataplane> {
    const server = createServer().listen(path);
    await once(server, 'listening');
    return new RawDataplane(server);
  }

  say(message: unknown): void {
    this.sockets.at(-1)?.write(`${JSON.stringify(message)}\n`);
  }

  end(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

const hello = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  type: 'hello',
  protocol: protocolVersion,
  node: 'r1',
  boot: 'b1',
  pid: 1,
  digest: 'd1',
  vrs: [],
  ...over,
});

let dir: string;
let path: string;
let port: DataplanePort;
let dataplane: RawDataplane | undefined;
let messages: string[];
let snapshots: UnreadLine<ToAgent>[];
let ups: number;
let downs: (KoiError | undefined)[];
let troubles: KoiError[];

function open(): DataplanePort {
  const opened = new DataplanePort({
    path,
    node: 'r1',
    onMessage: ({ type }) => messages.push(type),
    onSnapshot: (line) => snapshots.push(line),
    onUp: () => {
      ups += 1;
    },
    onDown: (cause) => downs.push(cause),
    onTrouble: (error) => troubles.push(error),
  });
  opened.start();
  return opened;
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'koi-port-'));
  path = join(dir, 'koi.dataplane.sock');
  [messages, snapshots, ups, downs, troubles] = [[], [], 0, [], []];
});
afterEach(() => {
  port.stop();
  dataplane?.end();
  dataplane = undefined;
  rmSync(dir, { recursive: true, force: true });
});

const isUp = (times = 1): Promise<void> => vi.waitFor(() => expect(ups).toBe(times), { timeout: 5000 });

describe('the port to the dataplane', () => {
  it('greets, is up once greeted, and passes on what comes', async () => {
    dataplane = await RawDataplane.listen();
    port = open();
    expect([port.up, port.send({ type: 'taken', number: 1 })]).toEqual([false, false]);
    await isUp();
    expect(dataplane.heard).toEqual([{ type: 'hello', protocol: protocolVersion, node: 'r1', pid: process.pid }]);
    dataplane.say({ type: 'bye' });
    await vi.waitFor(() => expect(messages).toEqual(['hello', 'bye']));
    expect(port.send({ type: 'taken', number: 1 })).toBe(true);
    await vi.waitFor(() => expect(dataplane?.heard).toHaveLength(2));
    expect(troubles).toEqual([]);
  });

  it('waits for a dataplane that is not there yet, and says once why', async () => {
    port = open();
    await vi.waitFor(() => expect(troubles).toHaveLength(1));
    expect(troubles[0]).toMatchObject({ code: 'unreachable', message: expect.stringContaining('ENOENT') as string });
    dataplane = await RawDataplane.listen();
    await isUp();
    expect([troubles.length, downs]).toEqual([1, []]);
  });

  it('waits behind a socket file that a dead dataplane left', async () => {
    leaveStaleSocket(path);
    port = open();
    await vi.waitFor(() =>
      expect(troubles).toMatchObject([{ message: expect.stringContaining('ECONNREFUSED') as string }]),
    );
    rmSync(path);
    dataplane = await RawDataplane.listen();
    await isUp();
  });

  it('connects again after the dataplane is gone, and tells of both', async () => {
    dataplane = await RawDataplane.listen();
    port = open();
    await isUp();
    dataplane.end();
    await vi.waitFor(() => expect(downs).toHaveLength(1));
    expect(port.up).toBe(false);
    dataplane = await RawDataplane.listen();
    await isUp(2);
    expect(downs).toHaveLength(1);
  });

  it.each([
    ['another protocol', { protocol: protocolVersion + 1 }, `speaks protocol ${protocolVersion + 1}`],
    ['another node', { node: 'r9' }, 'is node r9, this agent r1'],
  ])('does not work with a dataplane of %s, says so once with the remedy, and tries on', async (_, over, words) => {
    dataplane = await RawDataplane.listen();
    dataplane.greeting = hello(over);
    port = open();
    await vi.waitFor(() => expect(dataplane?.sockets.length).toBeGreaterThanOrEqual(3));
    expect(troubles).toMatchObject([
      { code: 'protocol', message: expect.stringContaining(words) as string, remedy: expect.any(String) as string },
    ]);
    expect([ups, port.up, messages]).toEqual([0, false, []]);
    dataplane.greeting = hello();
    await isUp();
  });

  it('hears nothing before the hello', async () => {
    dataplane = await RawDataplane.listen();
    dataplane.greeting = undefined;
    port = open();
    await vi.waitFor(() => expect(dataplane?.heard).toHaveLength(1));
    dataplane.say({ type: 'bye' });
    dataplane.say(hello());
    await isUp();
    expect(messages).toEqual(['hello']);
  });

  it('ends a connection on which garbage comes, and makes a new one', async () => {
    dataplane = await RawDataplane.listen();
    port = open();
    await isUp();
    dataplane.sockets[0]?.write('garbage\n');
    await vi.waitFor(() => expect(downs).toMatchObject([{ code: 'protocol' }]));
    await isUp(2);
  });

  it('passes snapshots on unread, and ends the connection where one that is read is of another form', async () => {
    dataplane = await RawDataplane.listen();
    port = open();
    await isUp();
    dataplane.say({ type: 'snapshot', snapshot: {} });
    dataplane.say({ type: 'bye' });
    await vi.waitFor(() => expect(messages).toEqual(['hello', 'bye']));
    expect([snapshots.length, downs]).toEqual([1, []]);
    expect(snapshots[0]?.read()).toBeUndefined();
    expect(downs).toMatchObject([{ code: 'protocol', message: expect.stringContaining('another form') as string }]);
    await isUp(2);
  });

  it('ends for good when told to', async () => {
    dataplane = await RawDataplane.listen();
    port = open();
    await isUp();
    const [socket] = dataplane.sockets;
    if (socket === undefined) throw new Error('no connection');
    const ended = once(socket, 'close');
    port.stop();
    await ended;
    expect([port.up, port.send({ type: 'taken', number: 1 }), downs, troubles]).toEqual([false, false, [], []]);
  });
});
