import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { natsServerBinary } from '../log/nats-server.js';
import { FailpointSite } from '../races/failpoint-site.js';

/* One of each kind; all of them are gone through by npm run test:races. Needs root and nats-server. */
describe.skipIf(!isRoot || natsServerBinary === undefined)('a running daemon at a failpoint (needs root)', () => {
  let koi: BuiltKoi;
  let site: FailpointSite;
  beforeAll(async () => {
    koi = buildKoi();
    site = await FailpointSite.begin(koi, 'log');
  }, 120_000);
  afterAll(async () => {
    await site?.close();
    koi?.remove();
  }, 60_000);

  test('killed when its claim is stored and it has not been told, it takes over all the same, once', {
    timeout: 120_000,
  }, async () => {
    await site.run('claim.appended', 'crash');
    expect(site.audit()).not.toContain('failed');
  });
});
