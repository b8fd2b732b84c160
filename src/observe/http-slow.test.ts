import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Listening, serveControl, serveHttp } from './http.js';
import type { HttpSources } from './http-sources.js';

/*
 * Clients that send one octet after the other, or do not read what they asked for: they are ended, and the others are
 * served meanwhile, however many they are.
 */

const clients = 40;
const never = (): never => {
  throw new Error('not under test');
};
const sources: HttpSources = {
  metricsText: () => metrics,
  health: () => ({ ok: true, checks: [] }),
  ready: never,
  status: never,
  timeline: never,
  followTimeline: never,
};
// More than sockets buffer.
const metrics = 'koi_up 1\n'.repeat(400_000);
let folder: string;
let servers: Listening[] = [];
let port: number;
let socketPath: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'koi-http-slow-'));
  socketPath = join(folder, 'koi.sock');
  const tcp = await serveHttp({ listen: { host: '127.0.0.1', port: 0 }, sources });
  port = Number(tcp.address.split(':')[1]);
  const actions = { '/api/v1/echo': async (body: unknown) => ({ body }) };
  servers = [tcp, await serveControl({ path: socketPath, sources, actions })];
});
afterAll(async () => {
  for (const server of servers) await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Resolves when the server has ended the connection. */
function dribble(socket: Socket, beginning: string): Promise<void> {
  return new Promise((resolve) => {
    const drop = setInterval(() => socket.writable && socket.write('x'), 500);
    socket
      .on('error', () => undefined)
      .on('close', () => {
        clearInterval(drop);
        resolve();
      });
    socket.resume().write(beginning);
  });
}

const status = (options: { readonly port: number } | { readonly socketPath: string }): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ ...options, path: '/healthz', agent: false }, (response) => {
      resolve(response.resume().statusCode);
    });
    outgoing.on('error', reject).end();
  });

it('ends whoever sends headers or body drop by drop, and serves the others', { timeout: 60_000 }, async () => {
  const slow = [
    ...Array.from({ length: clients }, () =>
      dribble(connect(port, '127.0.0.1'), 'GET /metrics HTTP/1.1\r\nhost: x\r\nx: '),
    ),
    ...Array.from({ length: clients }, () =>
      dribble(connect(socketPath), 'POST /api/v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{'),
    ),
  ];
  expect([await status({ port }), await status({ socketPath })]).toEqual([200, 200]);
  await Promise.all(slow);
  expect([await status({ port }), await status({ socketPath })]).toEqual([200, 200]);
});

/** Dials again and again, as many times at once as it is told, until it is stopped. */
function crowd(count: number, from: (index: number) => string, use: (socket: Socket) => void): () => void {
  const sockets = new Set<Socket>();
  let stopped = false;
  const dial = (index: number): void => {
    if (stopped) return;
    const socket = connect({ port, host: '127.0.0.1', localAddress: from(index) });
    sockets.add(socket);
    socket
      .on('error', () => undefined)
      .on('close', () => {
        sockets.delete(socket);
        setTimeout(dial, 1000, index);
      })
      .on('connect', () => use(socket));
  };
  for (let index = 0; index < count; index += 1) dial(index);
  return () => {
    stopped = true;
    for (const socket of sockets) socket.destroy();
  };
}

/** How long a client of its own waits for an answer that it reads, in ms; throws where there is none. */
function answerTime(path: string, localAddress: string): Promise<number> {
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', localAddress, path, agent: false }, (response) => {
      response.on('error', reject).on('end', () => resolve(performance.now() - startMs));
      response.resume();
    });
    asked.on('error', reject).end();
  });
}

const askers = {
  'half a request': (socket: Socket) => socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\nx: '),
  nothing: () => undefined,
  'no reading': (socket: Socket) => socket.pause().write('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n'),
};
it.each([
  ['half a request', 'of one address', () => '127.0.0.1', '127.0.0.2'],
  ['half a request', 'of the same address as the others', () => '127.0.0.1', '127.0.0.1'],
  ['half a request', 'of many addresses', (index: number) => `127.0.1.${index + 1}`, '127.0.0.2'],
  ['nothing', 'of one address', () => '127.0.0.1', '127.0.0.2'],
  ['no reading', 'of one address', () => '127.0.0.1', '127.0.0.2'],
  ['no reading', 'of many addresses', (index: number) => `127.0.1.${index + 1}`, '127.0.0.2'],
] as const)('answers others within a second beside 80 clients with %s, %s', { timeout: 60_000 }, async (...row) => {
  const [kind, , from, mine] = row;
  const end = crowd(80, from, askers[kind]);
  try {
    // Their first answers cost this process, which plays all the clients, more than the server.
    await pause(1500);
    const times: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      times.push(await answerTime('/healthz', mine), await answerTime('/metrics', mine));
      await pause(50);
    }
    expect(Math.max(...times)).toBeLessThan(1000);
  } finally {
    end();
  }
});
