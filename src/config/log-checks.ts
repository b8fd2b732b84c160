import { parseListen } from './listen.js';
import { isMap } from './path.js';
import type { Entry, Report } from './raw-entries.js';

/** Rules that join several fields of the section `log`. */
export function checkLog(root: Entry, fail: Report, warn: Report): void {
  const { log } = root;
  if (!isMap(log)) return;
  checkAuthentication(log, fail);
  if (isMap(log.tls) && (log.tls.cert === undefined) !== (log.tls.key === undefined)) {
    fail(['log', 'tls'], 'a client certificate needs cert and key', 'give both, or neither');
  }
  if (log.servers === undefined && log.embedded === undefined) {
    fail(['log', 'servers'], 'is missing', 'add it: the NATS servers, a list such as [nats://10.99.0.9:4222]');
  }
  if (isMap(log.embedded)) checkEmbedded(log, log.embedded, fail, warn);
}

function checkAuthentication(log: Entry, fail: Report): void {
  const ways = ['credentials', 'user', 'token', 'nkey'].filter((key) => log[key] !== undefined);
  if (ways.length > 1) {
    fail(['log', ways[1] ?? ''], `both ${ways.join(' and ')} are given`, 'keep one way to authenticate');
  }
  const passwords = ['password', 'passwordFile'].filter((key) => log[key] !== undefined);
  if (passwords.length === 2)
    fail(['log', 'password'], 'password and passwordFile are both given', 'keep passwordFile');
  if (log.user !== undefined && passwords.length === 0) {
    fail(['log', 'user'], 'user needs a password', 'add passwordFile, or password from the environment');
  }
  if (log.user === undefined && passwords.length > 0) {
    fail(['log', passwords[0] ?? ''], 'a password needs a user', 'add log.user');
  }
}

const place = ['log', 'embedded'] as const;

function checkEmbedded(log: Entry, embedded: Entry, fail: Report, warn: Report): void {
  if (log.credentials !== undefined) {
    fail(
      ['log', 'credentials'],
      'an embedded nats-server knows no accounts to check them against',
      'use log.user with log.passwordFile, log.token or log.nkey',
    );
  }
  if (log.tls !== undefined) {
    fail(
      ['log', 'tls'],
      'an embedded nats-server speaks no TLS',
      'remove it and keep the log on a network of its own, or run nats-server yourself and name it in log.servers',
    );
  }
  const listen = typeof embedded.listen === 'string' ? parseListen(embedded.listen) : undefined;
  if (listen?.port === 0) {
    fail([...place, 'listen'], 'port 0 is another one at each start', 'name one: 4222 is customary');
  }
  const secrets = ['credentials', 'user', 'token', 'nkey'].filter((key) => log[key] !== undefined);
  if (listen !== undefined && !isLoopback(listen.host) && secrets.length === 0) {
    warn(
      [...place, 'listen'],
      'whoever reaches this address may write the log: no way to authenticate is given',
      'add log.token, log.user with log.passwordFile or log.nkey, the same on every node',
    );
  }
  if (isMap(embedded.cluster)) checkCluster(log, embedded.cluster, listen, fail, warn);
  else if (typeof log.replicas === 'number' && log.replicas > 1) {
    fail(
      ['log', 'replicas'],
      `one server cannot keep ${log.replicas} replicas`,
      'add log.embedded.cluster with the routes of the others, or set replicas to 1',
    );
  }
}

function checkCluster(
  log: Entry,
  cluster: Entry,
  client: { readonly host: string; readonly port: number } | undefined,
  fail: Report,
  warn: Report,
): void {
  const at = [...place, 'cluster'] as const;
  const listen = typeof cluster.listen === 'string' ? parseListen(cluster.listen) : undefined;
  if (listen?.port === 0) fail([...at, 'listen'], 'port 0 is another one at each start', 'name one: 6222 is customary');
  if (listen !== undefined && listen.port !== 0 && listen.port === client?.port && overlap(listen.host, client.host)) {
    fail([...at, 'listen'], 'clients and servers cannot share a port', 'give it its own: 6222 is customary');
  }
  const routes = Array.isArray(cluster.routes) ? cluster.routes.length : 0;
  if (routes < 2) {
    warn(
      [...at, 'routes'],
      routes === 0
        ? 'it names no other server: a cluster of one is as available as one server'
        : 'two servers have no majority when one of them is gone: the log then takes nothing until it is back',
      'name two others; where there are only two nodes, run `koi witness` on a third machine',
    );
  }
  const replicas = typeof log.replicas === 'number' ? log.replicas : 1;
  if (replicas === 1) {
    warn(
      ['log', 'replicas'],
      'one server of the cluster keeps the log alone: it is away when that one is',
      'set replicas to 3, the same on every node',
    );
  } else if (replicas % 2 === 0) {
    const gain = `${replicas} replicas bear the loss of no more servers than ${replicas - 1}`;
    warn(['log', 'replicas'], gain, 'set replicas to an odd number');
  }
  if (log.servers === undefined) {
    warn(
      ['log', 'servers'],
      'this node reaches the log through its own server alone',
      'name the other servers, for the time when its own is down: [nats://HOST:4222]',
    );
  }
}

const isLoopback = (host: string): boolean => host === '::1' || host === 'localhost' || host.startsWith('127.');
const isEvery = (host: string): boolean => host === '0.0.0.0' || host === '::';
const overlap = (a: string, b: string): boolean => a === b || isEvery(a) || isEvery(b);
