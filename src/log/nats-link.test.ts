import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { NatsLink } from './nats-link.js';

it('leaves no socket behind at a server that never greets', async () => {
  const open = new Set<Socket>();
  let attempts = 0;
  const server = createServer((socket) => {
    attempts += 1;
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const link = new NatsLink({ servers: [`nats://127.0.0.1:${port}`], name: 'test', authentication: { kind: 'none' } });
  link.start();
  try {
    while (attempts < 6) await pause(20);
    // One is under way, and those of the last three seconds wait to be taken for strays.
    expect(open.size).toBeLessThanOrEqual(4);
    expect(link.problem).toContain('nothing comes from the server');
  } finally {
    await link.close();
  }
  await pause(50);
  expect(open.size).toBe(0);
  server.close();
});
