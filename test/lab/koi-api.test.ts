import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KoiStatus, koiMetric, koiStatus, koiTimeline } from './koi-api.js';

let directory: string;
let socket: string;
let server: Server | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-lab-api-'));
  socket = join(directory, 'koi.sock');
});

afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true, force: true });
});

async function serve(answer: (url: string) => { status: number; body: string }): Promise<void> {
  server = createServer((request, response) => {
    const { status, body } = answer(request.url ?? '');
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server?.listen(socket, resolve));
}

describe('the lab’s view of a daemon', () => {
  it('reads what it needs of the status and ignores the rest', async () => {
    const vr: KoiStatus['vrs'][number] & { vips: string[] } = {
      name: 'gw',
      state: 'master',
      why: 'claimed',
      term: 7,
      standing: 'logged',
      owner: 'r1',
      interface: 'eth0',
      since: '2026-01-01T00:00:00Z',
      warnings: [],
      vips: [],
    };
    const status: KoiStatus & { node: string } = {
      node: 'r1',
      log: { connected: true },
      dataplane: { up: true },
      guard: { up: true },
      vrs: [vr],
      nodes: [{ name: 'r1', lanAddress: null, lease: { state: 'fresh' } }],
      episodes: [{ kind: 'split_brain' }],
    };
    await serve(() => ({ status: 200, body: JSON.stringify(status) }));
    expect(await koiStatus(socket)).toMatchObject({ vrs: [{ term: 7, standing: 'logged' }] });
  });

  it('adds up a metric over its labels', async () => {
    const body = ['# TYPE koi_a_total counter', 'koi_a_total{vr="x"} 2', 'koi_a_total{vr="y"} 3', 'koi_a_total_b 9'];
    await serve(() => ({ status: 200, body: body.join('\n') }));
    expect(await koiMetric(socket, 'koi_a_total')).toBe(5);
    expect(await koiMetric(socket, 'koi_absent')).toBe(0);
  });

  it('asks for the timeline since a time', async () => {
    const asked: string[] = [];
    const entry = { sequence: 1, at: '2026-01-01T00:00:00Z', node: 'r1', type: 'Released', text: 'r1 released gw' };
    await serve((url) => {
      asked.push(url);
      return { status: 200, body: JSON.stringify({ entries: [entry] }) };
    });
    expect(await koiTimeline(socket, new Date('2026-01-01T00:00:00Z'))).toMatchObject([{ type: 'Released' }]);
    expect(asked).toEqual(['/api/v1/timeline?since=2026-01-01T00%3A00%3A00.000Z']);
  });

  it('says what went wrong', async () => {
    await expect(koiStatus(socket)).rejects.toMatchObject({ code: 'ENOENT' });
    await serve((url) =>
      url.includes('timeline') ? { status: 503, body: 'no log' } : { status: 200, body: '<html>' },
    );
    await expect(koiTimeline(socket, new Date())).rejects.toThrow(/HTTP 503 no log/);
    await expect(koiStatus(socket)).rejects.toThrow(/not JSON/);
  });
});
