import { createHmac } from 'node:crypto';
import { KoiError } from '../../koi-error.js';

/** A nats-server as Koi runs it. */
export interface NatsServerSettings {
  /** Unique among the servers: the node's name, so that others can tell whose server leads a stream. */
  readonly name: string;
  readonly listen: Listen;
  readonly storeDir: string;
  /** Most bytes that all streams may take; the server refuses events beyond. */
  readonly storeBytesMax: number;
  readonly cluster: NatsClusterSettings | undefined;
  readonly authorization: NatsAuthorization;
}

export interface NatsClusterSettings {
  readonly name: string;
  readonly listen: Listen;
  /** The other servers: `nats://host:6222`. */
  readonly routes: readonly string[];
}

export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** Who may connect. */
export type NatsAuthorization =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** `secret` is what every server knows alike, here the seed; it is not written. */
  | { readonly kind: 'nkey'; readonly publicKey: string; readonly secret: string };

const routeUser = 'koi';

/**
 * The configuration file of a nats-server that keeps what it has confirmed. It holds secrets.
 *
 * @param files where the server writes its log
 * @throws KoiError 'config' where a value cannot be said in such a file
 */
export function renderNatsServer(settings: NatsServerSettings, files: { readonly logFile: string }): string {
  const { name, listen, storeDir, storeBytesMax, cluster, authorization } = settings;
  return [
    '# Written by koi at each start; changes are lost.',
    `server_name: ${quoted(name, 'the name of the server')}`,
    `listen: ${quoted(address(listen), 'the listen address')}`,
    `log_file: ${quoted(files.logFile, 'the path of its log')}`,
    'logfile_size_limit: 10MB',
    'logfile_max_num: 3',
    // A client that is gone without a word is found within 4 s; the default is 4 minutes.
    'ping_interval: "2s"',
    'ping_max: 2',
    'write_deadline: "5s"',
    'max_payload: 1MB',
    'max_connections: 1024',
    'jetstream {',
    `  store_dir: ${quoted(storeDir, 'storeDir')}`,
    // The default writes to disk every 2 minutes, and a power failure takes with it what was confirmed meanwhile.
    '  sync_interval: always',
    `  max_file_store: ${storeBytesMax}`,
    '  max_memory_store: 67108864',
    '}',
    ...authorize(authorization),
    ...(cluster === undefined ? [] : clustered(cluster, authorization)),
    '',
  ].join('\n');
}

function authorize(authorization: NatsAuthorization): string[] {
  switch (authorization.kind) {
    case 'anyone':
      return [];
    case 'token':
      return ['authorization {', `  token: ${secret(authorization.token, 'the token')}`, '  timeout: 2', '}'];
    case 'password':
      return [
        'authorization {',
        `  user: ${quoted(authorization.user, 'the user')}`,
        `  password: ${secret(authorization.password, 'the password')}`,
        '  timeout: 2',
        '}',
      ];
    case 'nkey':
      return [
        'authorization {',
        `  users: [{nkey: ${quoted(authorization.publicKey, 'the nkey')}}]`,
        '  timeout: 2',
        '}',
      ];
  }
}

function clustered({ name, listen, routes }: NatsClusterSettings, authorization: NatsAuthorization): string[] {
  const password = routePassword(authorization);
  const user = password === undefined ? '' : `${routeUser}:${password}@`;
  const others = routes.map((route) => quoted(`nats-route://${user}${new URL(route).host}`, 'a route'));
  return [
    'cluster {',
    `  name: ${quoted(name, 'the name of the cluster')}`,
    `  listen: ${quoted(address(listen), 'the listen address of the cluster')}`,
    // Servers would tell clients every address of their hosts, virtual IPs among them: those lead elsewhere tomorrow.
    '  no_advertise: true',
    ...(password === undefined
      ? []
      : [`  authorization {user: ${routeUser}, password: ${quoted(password, 'the password of routes')}, timeout: 2}`]),
    `  routes: [${others.join(', ')}]`,
    '}',
  ];
}

/** Servers prove to each other that they know the clients' secret, without sending it; undefined where there is none. */
export function routePassword(authorization: NatsAuthorization): string | undefined {
  if (authorization.kind === 'anyone') return undefined;
  return createHmac('sha256', sharedSecret(authorization)).update('koi route').digest('hex');
}

function sharedSecret(authorization: Exclude<NatsAuthorization, { kind: 'anyone' }>): string {
  switch (authorization.kind) {
    case 'token':
      return authorization.token;
    case 'password':
      return authorization.password;
    case 'nkey':
      return authorization.secret;
  }
}

/** An address to connect to, of one to listen on. */
export const reachableHost = (host: string): string =>
  host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;

const address = ({ host, port }: Listen): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** nats-server takes a text of this form for a hash of the password, not for the password. */
const bcryptForm = /^\$2[abxy]?\$\d\d\$/;

function secret(text: string, what: string): string {
  if (bcryptForm.test(text)) {
    throw new KoiError('config', `${what} looks like a bcrypt hash, which nats-server would not take literally`, {
      remedy: 'choose another one',
    });
  }
  return quoted(text, what);
}

function quoted(text: string, what: string): string {
  const control = [...text].some((character) => character.charCodeAt(0) < 0x20 || character.charCodeAt(0) === 0x7f);
  if (control) {
    throw new KoiError('config', `${what} contains a control character`, { remedy: 'write it without' });
  }
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
