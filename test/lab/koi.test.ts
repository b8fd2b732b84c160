import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { koiDaemon } from './koi.js';
import type { Router } from './topology.js';

const router: Router = {
  name: 'r1',
  netns: 'none',
  lanAddress: '10.77.0.1',
  managementAddress: '10.0.0.1',
  switchPort: 'p1',
  switchPorts: ['p1'],
  managementPort: 'p0',
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-lab-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

it('a router runs Koi with the Node and the dist/ that it is given', async () => {
  const daemon = koiDaemon({
    router,
    priority: 200,
    advertIntervalMs: 1_000,
    logUrls: [],
    replicas: 1,
    onLogLoss: 'wire',
    onPathSplit: 'hold',
    virtualRouters: [],
    guardTimeoutMs: 300,
    preempts: false,
    program: { node: '/bin/echo', dist: '/elsewhere/dist' },
    directory,
    logFile: join(directory, 'r1.log'),
    lanKeyFile: join(directory, 'lan.key'),
  });
  const socket = join(directory, 'r1/koi.sock');
  expect(await daemon.command(['status'])).toEqual({
    code: 0,
    said: `/elsewhere/dist/cli/main.js status --socket ${socket}`,
  });
  expect(daemon.printTimeline(new Date(0))).toMatch(/^\/elsewhere\/dist\/cli\/main\.js timeline /);
});
