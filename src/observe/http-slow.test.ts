import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Listening, serveControl, serveHttp } from './http.js';
import type { HttpSources } from './http-sources.js';

/* Clients that send one octet after the other, for ever: they are ended, and the others are served meanwhile. */

const clients = 40;
const never = (): never => {
  throw new Error('not under test');
};
const sources: HttpSources = {
  metricsText: () => 'koi_up 1\n',
  health: () => ({ ok: true, checks: [] }),
  ready: never,
  status: never,
  timeline: never,
};
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
