import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { KoiError } from '../koi-error.js';
import { ControlClient } from './control-client.js';

let folder = '';
let server: Server | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'koi-client-'));
});
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function serve(handler: Parameters<typeof createServer>[1]): Promise<ControlClient> {
  const path = join(folder, 'koi.sock');
  server = createServer(handler ?? (() => undefined)).listen(path);
  await once(server, 'listening');
  return new ControlClient(path);
}

const rejection = async (work: Promise<unknown>): Promise<KoiError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof KoiError) return error;
  throw new Error(`expected a KoiError, found ${String(error)}`);
};

it('says that nobody is there, and how to start it', async () => {
  const absent = await rejection(new ControlClient(join(folder, 'none')).get('/'));
  expect([absent.exitCode, absent.message]).toEqual([4, `there is no control socket ${join(folder, 'none')}`]);
  expect(absent.remedy).toContain('koi run -c FILE');
  writeFileSync(join(folder, 'file'), '');
  expect((await rejection(new ControlClient(join(folder, 'file')).get('/'))).exitCode).toBe(4);
});

it('gives up a daemon that never answers', async () => {
  const client = await serve(() => undefined);
  const error = await rejection(client.get('/api/v1/status', 50));
  expect([error.exitCode, error.message]).toEqual([
    4,
    expect.stringContaining('did not answer /api/v1/status within 50 ms'),
  ]);
});

it('posts JSON and reads the answer', async () => {
  const client = await serve((request, response) => {
    request.pipe(response);
  });
  expect(await client.post('/x', { a: 'ü' })).toEqual({ a: 'ü' });
});

it('keeps the code, and so the exit code, of a refusal', async () => {
  const client = await serve((_request, response) => {
    response.statusCode = 403;
    response.end('{"error":{"code":"privilege","message":"not you","remedy":"ask another"}}');
  });
  expect(await rejection(client.get('/'))).toMatchObject({ exitCode: 3, message: 'not you', remedy: 'ask another' });
});

it('refuses an answer that is not JSON', async () => {
  const client = await serve((_request, response) => void response.end('<html>'));
  expect((await rejection(client.get('/'))).message).toBe('the answer to / is not JSON');
});

it('does not take a code it does not know', async () => {
  const client = await serve((_request, response) => {
    response.statusCode = 500;
    response.end('{"error":{"code":"__proto__"}}');
  });
  expect(await rejection(client.get('/'))).toMatchObject({
    code: 'protocol',
    message: 'the daemon answered / with 500',
  });
});

it('follows lines to their end, across chunks, without the empty ones', async () => {
  const client = await serve((_request, response) => {
    response.write('{"n":1}\n\n{"n"');
    setImmediate(() => response.end(':2}\n'));
  });
  const seen: unknown[] = [];
  for await (const line of client.follow('/')) seen.push(line);
  expect(seen).toEqual([{ n: 1 }, { n: 2 }]);
});

it('tells a daemon that went away from an end', async () => {
  const client = await serve((_request, response) => {
    response.write('{"n":1}\n', () => response.destroy());
  });
  const seen: unknown[] = [];
  const error = await rejection(
    (async () => {
      for await (const line of client.follow('/')) seen.push(line);
    })(),
  );
  expect(seen).toEqual([{ n: 1 }]);
  expect(error.exitCode).toBe(4);
});
