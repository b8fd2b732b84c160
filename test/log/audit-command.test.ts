import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openJetStreamLogs } from '../../src/log/jetstream.js';
import { waitUntil } from '../lab/wait.js';
import { NatsServer, natsServerBinary } from './nats-server.js';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** A log in which nothing has happened keeps every promise; so would one that was asked for by mistake. */
describe.skipIf(natsServerBinary === undefined)('koi audit of a log without events (needs nats-server)', () => {
  let server: NatsServer;
  let folder = '';

  beforeAll(async () => {
    server = await NatsServer.start();
    folder = mkdtempSync(join(tmpdir(), 'koi-audit-'));
    // Whoever is not a reader makes the streams of its cluster.
    const authentication = { kind: 'none' } as const;
    const logs = openJetStreamLogs({ cluster: 'edgy', name: 'r1', servers: [server.url], authentication, replicas: 1 });
    let state = '';
    logs.events.watch((status) => {
      state = status.state;
    });
    await waitUntil('the log', () => (state === 'connected' ? undefined : state), { deadlineMs: 10_000 });
    await logs.close();
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const audit = (...args: string[]): SpawnSyncReturns<string> => auditOf('edgy', ...args);

  function auditOf(cluster: string, ...args: string[]): SpawnSyncReturns<string> {
    const file = join(folder, 'koi.yaml');
    const virtualRouters = [{ name: 'gw', interface: 'kt-absent', id: 51, addresses: ['10.77.0.254/24'] }];
    writeFileSync(file, JSON.stringify({ cluster, log: { servers: [server.url] }, virtualRouters }));
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

  it('makes no log for a cluster that is misspelt, and names those there are', () => {
    for (const args of [[], ['--since', '5m']]) {
      const { status, stdout, stderr } = auditOf('egdy', ...args);
      expect([status, stdout]).toEqual([4, '']);
      expect(stderr).toMatch(
        /^koi: the log cannot be used: it has no stream KOI_EGDY for cluster 'egdy', there is KOI_EDGY \(nats:.*\)\n {2}→ compare cluster and log\.servers/,
      );
    }
  });
});
