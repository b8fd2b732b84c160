import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KoiError } from '../koi-error.js';
import { type Listening, serveControl, serveHttp } from './http.js';
import type { HttpSources, TimelineQuery } from './http-sources.js';
import type { TimelineEntry } from './status.js';

const entry = (sequence: number): TimelineEntry => ({
  sequence,
  at: '2026-01-31T12:00:00.000Z',
  node: 'r1',
  vr: 'gw',
  term: 1,
  type: 'Claimed',
  text: 'claimed',
  cause: null,
});

let asked: TimelineQuery[] = [];
let watched: AbortSignal | undefined;
let open: { close(): unknown }[] = [];
let folder = '';

beforeEach(() => {
  asked = [];
  folder = mkdtempSync(join(tmpdir(), 'koi-http-'));
});
afterEach(async () => {
  for (const each of open) await each.close();
  open = [];
  rmSync(folder, { recursive: true, force: true });
});

const sources = (changed: Partial<HttpSources> = {}): HttpSources => ({
  metricsText: () => 'koi_up 1\n',
  health: () => ({ ok: true, checks: [] }),
  ready: () => ({ ok: false, checks: [{ name: 'log', ok: false, detail: 'away' }] }),
  status: () => {
    throw new Error('not under test');
  },
  async timeline(query) {
    asked.push(query);
    return { entries: [entry(1), entry(2)] };
  },
  async *followTimeline(_query, signal) {
    watched = signal;
    yield entry(1);
    yield entry(2);
    await once(signal, 'abort');
  },
  ...changed,
});

async function tcp(changed: Partial<HttpSources> = {}): Promise<Listening & { port: number }> {
  const server = await serveHttp({ listen: { host: '127.0.0.1', port: 0 }, sources: sources(changed) });
  open.push(server);
  return { ...server, port: Number(server.address.split(':')[1]) };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(options: RequestOptions, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const rejection = async (work: Promise<unknown>): Promise<KoiError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof KoiError) return error;
  throw new Error(`expected a KoiError, found ${String(error)}`);
};

describe('over TCP', () => {
  it('serves metrics, health, readiness and the page', async () => {
    const { port } = await tcp();
    const metrics = await ask({ port, path: '/metrics' });
    expect([metrics.status, metrics.headers['content-type'], metrics.body]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
      'koi_up 1\n',
    ]);
    expect((await ask({ port, path: '/healthz' })).status).toBe(200);
    const ready = await ask({ port, path: '/readyz' });
    expect([ready.status, JSON.parse(ready.body)]).toEqual([
      503,
      { ok: false, checks: [{ name: 'log', ok: false, detail: 'away' }] },
    ]);
    const page = await ask({ port, path: '/' });
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.body).not.toMatch(/https?:\/\//);
  });

  it('answers HEAD without a body', async () => {
    const { port } = await tcp();
    const head = await ask({ port, path: '/metrics', method: 'HEAD' });
    expect([head.status, head.body, head.headers['content-length']]).toEqual([200, '', '9']);
    expect((await ask({ port, path: '/api/v1/timeline?follow=1', method: 'HEAD' })).status).toBe(200);
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('refuses %s', async (method) => {
    const { port } = await tcp();
    const answer = await ask({ port, path: '/api/v1/status', method }, method.startsWith('P') ? '{}' : undefined);
    expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  it('answers what is not there in JSON', async () => {
    const { port } = await tcp();
    for (const path of ['/nothing', '/constructor', '/__proto__', '/api/v1/handover']) {
      const answer = await ask({ port, path });
      expect([answer.status, typeof JSON.parse(answer.body).error.message]).toEqual([404, 'string']);
    }
  });

  it('refuses long URLs, large headers and nonsense', async () => {
    const { port } = await tcp();
    expect((await ask({ port, path: `/metrics?${'x'.repeat(2_100)}` })).status).toBe(414);
    expect((await ask({ port, path: '/metrics', headers: { large: 'x'.repeat(9_000) } })).status).toBe(431);
    const socket = connect(port, '127.0.0.1');
    socket.write('nonsense\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toContain('400 Bad Request');
    expect((await ask({ port, path: '/metrics' })).status).toBe(200);
  });

  it('holds at most 64 connections: the newest takes the place of the one that has been idle longest', async () => {
    const { port } = await tcp();
    const ended: number[] = [];
    const sockets: Socket[] = [];
    for (let at = 0; at < 64; at += 1) {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket.on('error', () => undefined).on('close', () => ended.push(at)));
      await once(socket, 'connect');
    }
    expect((await ask({ port, path: '/metrics' })).status).toBe(200);
    await expect.poll(() => ended).toEqual([0]);
    for (const socket of sockets) socket.destroy();
  });

  it('answers a source that fails with 500, and goes on', async () => {
    const { port } = await tcp();
    const answer = await ask({ port, path: '/api/v1/status' });
    expect([answer.status, JSON.parse(answer.body)]).toEqual([
      500,
      { error: { code: 'internal', message: 'not under test' } },
    ]);
  });

  it('gives up a source that never answers, and a client that never finishes its request', {
    timeout: 15_000,
  }, async () => {
    const { port } = await tcp({ metricsText: () => new Promise(() => undefined) });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /metrics HTTP/1.1\r\n');
    const before = Date.now();
    const [answer] = await Promise.all([ask({ port, path: '/metrics' }), once(socket.resume(), 'close')]);
    expect([answer.status, answer.body]).toEqual([
      504,
      expect.stringContaining('the metrics took longer than 5000 ms'),
    ]);
    expect(Date.now() - before).toBeLessThan(10_000);
  });

  it('answers 10,000 requests, one like the other, and holds no connection afterwards', {
    timeout: 60_000,
  }, async () => {
    const { port } = await tcp();
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const statuses = new Map<number, number>();
    const client = async (requests: number): Promise<void> => {
      for (let at = 0; at < requests; at += 1) {
        const { status } = await ask({ port, path: at % 2 === 0 ? '/metrics' : '/healthz', agent });
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 16 }, () => client(625)));
    expect([...statuses]).toEqual([[200, 10_000]]);
    agent.destroy();
    expect((await ask({ port, path: '/metrics' })).status).toBe(200);
  });

  it('reads no body, whatever is sent to whatever path', async () => {
    const { port } = await tcp();
    for (const path of ['/', '/metrics', '/api/v1/handover', '/api/v1/drain', '/api/v1/undrain', '/api/v1/reload']) {
      const socket = connect(port, '127.0.0.1');
      socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n{`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString(), path).toMatch(/^HTTP\/1\.1 (404|405) [\s\S]*\r\nconnection: close/i);
      socket.destroy();
    }
  });

  it('names the address that is in use and what to do', async () => {
    const { port } = await tcp();
    const error = await rejection(serveHttp({ listen: { host: '127.0.0.1', port }, sources: sources() }));
    expect(error.message).toBe(`http.listen: 127.0.0.1:${port} is in use by another program`);
    expect([error.exitCode, error.remedy]).toEqual([2, expect.stringContaining('choose another port')]);
  });

  it('names an address that this host does not have', async () => {
    const error = await rejection(serveHttp({ listen: { host: '192.0.2.1', port: 9_650 }, sources: sources() }));
    expect(error.message).toContain('192.0.2.1:9650 is no address of this host');
  });
});

describe('the timeline', () => {
  it('comes as one document, and hands its query on', async () => {
    const { port } = await tcp();
    const answer = await ask({ port, path: '/api/v1/timeline?vr=gw&since=2026-01-31T12:00:00Z&limit=5' });
    expect(JSON.parse(answer.body)).toEqual({ entries: [entry(1), entry(2)] });
    expect(asked[0]).toMatchObject({ vr: 'gw', sinceMs: Date.UTC(2026, 0, 31, 12), limit: 5 });
  });

  it.each(['since=soon', 'limit=0', 'limit=10001', 'limit=x', 'follow=yes'])('refuses %s', async (query) => {
    const { port } = await tcp();
    const answer = await ask({ port, path: `/api/v1/timeline?${query}` });
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining(query.split('=')[0] ?? '')]);
  });

  it('says why it cannot be followed', async () => {
    const { port } = await tcp({
      // biome-ignore lint/correctness/useYield: it fails before
      async *followTimeline() {
        throw new KoiError('unreachable', 'the event log cannot be read (connecting): connection refused');
      },
    });
    const answer = await ask({ port, path: '/api/v1/timeline?follow=1' });
    expect([answer.status, answer.body]).toEqual([503, expect.stringContaining('connection refused')]);
  });

  it('goes on as lines of JSON, and lets its source go when the reader goes', async () => {
    const { port } = await tcp();
    const outgoing = request({ port, path: '/api/v1/timeline?follow=1', agent: false });
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    let lines = '';
    response.setEncoding('utf8').on('data', (text: string) => {
      lines += text;
    });
    response.on('error', () => undefined);
    await expect.poll(() => lines).toBe(`${JSON.stringify(entry(1))}\n${JSON.stringify(entry(2))}\n`);
    expect(response.headers['content-type']).toBe('application/x-ndjson');
    expect(watched?.aborted).toBe(false);
    outgoing.destroy();
    await expect.poll(() => watched?.aborted).toBe(true);
  });

  it('keeps connections free for scrapes however many follow', async () => {
    const { port } = await tcp();
    const followers = Array.from({ length: 20 }, () =>
      request({ port, path: '/api/v1/timeline?follow=1', agent: false }),
    );
    const statuses = await Promise.all(
      followers.map(async (follower) => {
        follower.on('error', () => undefined);
        follower.end();
        const [response] = (await once(follower, 'response')) as [IncomingMessage];
        response.on('error', () => undefined).resume();
        return response.statusCode;
      }),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(16);
    expect(statuses.filter((status) => status === 503)).toHaveLength(4);
    for (const follower of followers) follower.destroy();
  });
});

describe('over the control socket', () => {
  const serve = async (path = join(folder, 'run', 'koi.sock')): Promise<string> => {
    const actions = {
      '/api/v1/echo': async (body: unknown) => ({ body }),
      '/api/v1/refuse': async () => {
        throw new KoiError('privilege', 'not you', { remedy: 'ask another' });
      },
    };
    open.push(await serveControl({ path, sources: sources(), actions }));
    return path;
  };

  it('serves the same and the actions, to owner and group only', async () => {
    const socketPath = await serve();
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    expect((await ask({ socketPath, path: '/healthz' })).status).toBe(200);
    const echo = await ask({ socketPath, path: '/api/v1/echo', method: 'POST' }, '{"a":1}');
    expect(JSON.parse(echo.body)).toEqual({ body: { a: 1 } });
    expect((await ask({ socketPath, path: '/api/v1/echo' })).headers.allow).toBe('POST');
  });

  it('carries a refusal with its code and remedy, and bounds what it reads', async () => {
    const socketPath = await serve();
    const refused = await ask({ socketPath, path: '/api/v1/refuse', method: 'POST' });
    expect([refused.status, JSON.parse(refused.body).error]).toEqual([
      403,
      { code: 'privilege', message: 'not you', remedy: 'ask another' },
    ]);
    const post = (body: string) => ask({ socketPath, path: '/api/v1/echo', method: 'POST' }, body);
    expect((await post('{')).status).toBe(400);
    expect((await post(JSON.stringify('x'.repeat(70_000)))).status).toBe(413);
  });

  it('replaces a socket file that nobody listens on', async () => {
    const path = join(folder, 'stale.sock');
    // A listener that died leaves its file; one that closes takes it along.
    const child = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    await once(child, 'exit');
    expect(existsSync(path)).toBe(true);
    await serve(path);
    expect((await ask({ socketPath: path, path: '/healthz' })).status).toBe(200);
  });

  it('refuses a socket that another daemon listens on, and a path that is something else', async () => {
    const path = join(folder, 'live.sock');
    const other = createServer().listen(path);
    open.push(other);
    await once(other, 'listening');
    expect((await rejection(serve(path))).message).toBe(`control socket: another daemon listens on ${path}`);
    const file = join(folder, 'file');
    writeFileSync(file, 'keep me');
    expect((await rejection(serve(file))).message).toBe(`control socket: ${file} exists and is not a socket`);
    expect(existsSync(file)).toBe(true);
  });

  it('takes its socket file along when it closes', async () => {
    const path = await serve();
    await open.pop()?.close();
    expect(existsSync(path)).toBe(false);
  });
});
