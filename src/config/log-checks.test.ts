import { describe, expect, it } from 'vitest';
import { parseConfig } from './load.js';
import { judgeWitness } from './load-witness.js';

/** What is said of a section `log`, as PATH: MESSAGE. */
function said(log: string): { errors: string[]; warnings: string[] } {
  const parsed = parseConfig(
    `cluster: edge\nnode: r1\nlanKeyFile: /k\nlog: ${log}\nvirtualRouters: [{name: gw, interface: eth1, id: 51, addresses: [10.77.0.254/24]}]\n`,
    { environment: {} },
  );
  const each = ({ path, message }: { path: string; message: string }): string => `${path}: ${message}`;
  return { errors: parsed.ok ? [] : parsed.errors.map(each), warnings: parsed.warnings.map(each) };
}

const own = 'listen: 127.0.0.1:4222, storeDir: /s';
const three = 'cluster: {listen: "10.0.0.1:6222", routes: ["nats://10.0.0.2:6222", "nats://10.0.0.3:6222"]}';
const others = 'servers: ["nats://10.0.0.2:4222"]';

describe('log.embedded', () => {
  it.each([
    `{embedded: {${own}}}`,
    `{token: x, embedded: {listen: 0.0.0.0:4222, storeDir: /s, binary: /opt/nats-server, maxStore: 512MiB}}`,
    `{${others}, token: x, replicas: 3, embedded: {listen: 0.0.0.0:4222, storeDir: /s, ${three}}}`,
  ])('%#: is fine', (log) => {
    expect(said(log)).toEqual({ errors: [], warnings: [] });
  });

  it.each([
    [`{credentials: /c, embedded: {${own}}}`, 'log.credentials: an embedded nats-server knows no accounts'],
    [`{tls: {ca: /c}, embedded: {${own}}}`, 'log.tls: an embedded nats-server speaks no TLS'],
    [`{embedded: {listen: 127.0.0.1:0, storeDir: /s}}`, 'log.embedded.listen: port 0'],
    [`{replicas: 3, embedded: {${own}}}`, 'log.replicas: one server cannot keep 3 replicas'],
    [
      `{${others}, replicas: 3, embedded: {listen: 127.0.0.1:6222, storeDir: /s, ${three.replace('10.0.0.1', '0.0.0.0')}}}`,
      'log.embedded.cluster.listen: clients and servers cannot share a port',
    ],
    [`{embedded: {${own}, maxStore: 4}}`, 'log.embedded.maxStore'],
    [`{embedded: {listen: 127.0.0.1:4222}}`, 'log.embedded.storeDir: is missing'],
  ])('%#: is refused', (log, message) => {
    expect(said(log).errors).toEqual([expect.stringContaining(message)]);
  });

  const cluster = (routes: string): string =>
    `{${others}, replicas: 3, embedded: {${own}, cluster: {listen: "10.0.0.1:6222", routes: [${routes}]}}}`;
  it.each([
    [`{embedded: {listen: 0.0.0.0:4222, storeDir: /s}}`, 'log.embedded.listen: whoever reaches this address may write'],
    [cluster('"nats://10.0.0.2:6222"'), 'log.embedded.cluster.routes: two servers have no majority'],
    [cluster(''), 'log.embedded.cluster.routes: it names no other server'],
    [`{${others}, embedded: {${own}, ${three}}}`, 'log.replicas: one server of the cluster keeps the log alone'],
    [`{${others}, replicas: 2, embedded: {${own}, ${three}}}`, 'log.replicas: 2 replicas bear the loss of no more'],
    [
      `{replicas: 3, embedded: {${own}, ${three}}}`,
      'log.servers: this node reaches the log through its own server alone',
    ],
  ])('%#: is warned of', (log, message) => {
    expect(said(log)).toEqual({ errors: [], warnings: [expect.stringContaining(message)] });
  });
});

describe("a witness's configuration", () => {
  it('is the part of a node’s that describes a server', () => {
    const log = { user: 'k', passwordFile: '/p', embedded: { listen: '0.0.0.0:4222', storeDir: '/s' } };
    expect(judgeWitness({ node: 'w', log }, 'FILE').config).toEqual({
      node: 'w',
      stateDir: '/var/lib/koi',
      authentication: { kind: 'passwordFile', user: 'k', file: '/p' },
      embedded: {
        listen: { host: '0.0.0.0', port: 4222 },
        storeDir: '/s',
        maxStoreBytes: 4 * 2 ** 30,
        binary: undefined,
        cluster: undefined,
      },
    });
  });

  it('names every error at once', () => {
    const wrong = { virtualRouters: [], log: { embedded: { listen: 'x' } } };
    expect(() => judgeWitness(wrong, 'FILE')).toThrow(/FILE has 3 errors.*listen.*storeDir.*virtualRouters/s);
    expect(() => judgeWitness({ log: {} }, 'FILE')).toThrow(/log.embedded: is missing/);
    expect(() => judgeWitness('x', 'FILE')).toThrow(/not a map/);
  });
});
