import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitUntil } from '../../test/lab/wait.js';
import { LogServerWatch } from './log-server-watch.js';

let directory: string;
let server: Server;
let sockets: Socket[];
let watch: LogServerWatch;
let heard: string[];

const path = (): string => join(directory, 's');
const say = (state: string, problem: string | null = null, restarts = 0): void => {
  const line = JSON.stringify({ type: 'logServer', state, pid: 7, version: '2.15.2', restarts, problem });
  for (const socket of sockets) socket.write(`${line}\n`);
};
const until = (what: string): Promise<number> =>
  waitUntil(what, () => (heard.includes(what) ? undefined : heard.join()), { deadlineMs: 10_000 });

async function listen(): Promise<void> {
  server = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(path(), resolve));
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'koi-watch-'));
  [sockets, heard] = [[], []];
  await listen();
  watch = new LogServerWatch({
    path: path(),
    onDown: (why) => heard.push(`down: ${why}`),
    onUp: () => heard.push('up'),
    onChange: ({ up, restarts }) => heard.push(`${up} ${restarts}`),
  });
  await waitUntil('a connection', () => (sockets.length > 0 ? undefined : 'none'), { deadlineMs: 10_000 });
});

afterEach(() => {
  watch.stop();
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

it('tells a crash at once and once, and when it is over', async () => {
  say('serving');
  await until('true 0');
  expect(watch.check(false)).toMatchObject({ ok: true, detail: expect.stringContaining('2.15.2') });
  say('down', 'nats-server ended (SIGKILL)');
  await until('down: nats-server ended (SIGKILL)');
  say('starting', null, 1);
  await until('false 1');
  expect(watch.notice).toContain('does not serve');
  expect([watch.check(false).ok, watch.check(true).ok]).toEqual([false, true]);
  say('serving', null, 1);
  await until('up');
  expect(heard.filter((each) => each.startsWith('down'))).toHaveLength(1);
  expect(watch.notice).toBeUndefined();
});

it('tells that nobody runs the server, after a while, and finds its keeper again', async () => {
  say('serving');
  await until('true 0');
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
  await until('down: nobody runs it: start `koi log-server`, which koi run does by itself');
  await listen();
  await waitUntil('a connection', () => (sockets.length > 0 ? undefined : 'none'), { deadlineMs: 10_000 });
  say('serving');
  await until('up');
});
