import { describe, it } from 'vitest';
import { NatsLink } from '../../src/log/nats-link.js';
import { waitUntil } from '../lab/wait.js';
import { NatsServer, natsServerBinary } from './nats-server.js';

describe.skipIf(natsServerBinary === undefined)('a link to NATS', { timeout: 30_000 }, () => {
  it('knows the servers that were away when it was made', async () => {
    const late = await NatsServer.prepare();
    const first = await NatsServer.start();
    const link = new NatsLink({
      servers: [late.url, first.url],
      inOrder: true,
      name: 'test',
      authentication: { kind: 'none' },
    });
    const at = (server: NatsServer) =>
      waitUntil(
        `a connection to ${server.url}`,
        () => {
          const url = link.connection?.getServer();
          if (url !== undefined && server.url.endsWith(url)) return undefined;
          return url ?? link.problem ?? 'no connection';
        },
        { deadlineMs: 5000 },
      );
    try {
      link.start();
      await at(first);
      await late.up();
      await first.kill();
      await at(late);
    } finally {
      await link.close();
      await Promise.all([first.remove(), late.remove()]);
    }
  });
});
