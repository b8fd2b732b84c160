import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NatsServer, natsServerBinary } from './nats-server.js';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** A mistyped cluster has a log of its own, in which no promise is broken. */
describe.skipIf(natsServerBinary === undefined)('koi audit of a log without events (needs nats-server)', () => {
  let server: NatsServer;
  let folder = '';

  beforeAll(async () => {
    server = await NatsServer.start();
    folder = mkdtempSync(join(tmpdir(), 'koi-audit-'));
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  function audit(...args: string[]): SpawnSyncReturns<string> {
    const file = join(folder, 'koi.yaml');
    const virtualRouters = [{ name: 'gw', interface: 'kt-absent', id: 51, addresses: ['10.77.0.254/24'] }];
    writeFileSync(file, JSON.stringify({ cluster: 'edgy', log: { servers: [server.url] }, virtualRouters }));
    return spawnSync(process.execPath, ['--import', 'tsx', main, 'audit', '-c', file, ...args], { encoding: 'utf8' });
  }

  it('is no success, and says what to compare', () => {
    const { status, stdout, stderr } = audit();
    expect([status, stdout]).toEqual([1, '0 events read in 0.0 s: nothing to judge\n']);
    expect(stderr).toMatch(/^koi: the log has no event of this cluster.*\n {2}→ compare cluster and log\.servers/);
  });

  it('is fine where only the last minutes were asked for', () => {
    expect(audit('--since', '5m')).toMatchObject({ status: 0, stderr: '' });
  });
});
