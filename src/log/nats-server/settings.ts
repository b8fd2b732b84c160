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

/** What a nats-server is started with. */
export interface RenderedNatsServer {
  /** Its configuration file, in which no secret stands as it is. */
  readonly configuration: string;
  /** What its file refers to: a server needs the password of routes in plain text, since it shows it to the others. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The configuration of a nats-server that keeps what it has confirmed.
 *
 * @param logFile where the server writes its log
 * @param clientHash bcrypt of the clients' password or token; undefined where they have none
 * @throws KoiError 'config' where a value cannot be said in such a file
 */
export function renderNatsServer(
  settings: NatsServerSettings,
  { logFile, clientHash }: { readonly logFile: string; readonly clientHash: string | undefined },
): RenderedNatsServer {
  const { name, listen, storeDir, storeBytesMax, cluster, authorization } = settings;
  const routes = cluster === undefined ? undefined : clustered(cluster, authorization);
  const configuration = [
    '# Written by koi at each start; changes are lost.',
    `server_name: ${quoted(name, 'the name of the server')}`,
    `listen: ${quoted(address(listen), 'the listen address')}`,
    `log_file: ${quoted(logFile, 'the path of its log')}`,
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
    ...authorize(authorization, clientHash ?? ''),
    ...(routes?.lines ?? []),
    '',
  ].join('\n');
  return { configuration, environment: routes?.environment ?? {} };
}

/** What clients send as it is; undefined where they send nothing of the kind. */
export function clientSecret(authorization: NatsAuthorization): string | undefined {
  if (authorization.kind === 'token') return authorization.token;
  return authorization.kind === 'password' ? authorization.password : undefined;
}

function authorize(authorization: NatsAuthorization, clientHash: string): string[] {
  switch (authorization.kind) {
    case 'anyone':
      return [];
    case 'token':
      return ['authorization {', `  token: ${quoted(clientHash, 'the hash of the token')}`, '  timeout: 2', '}'];
    case 'password':
      return [
        'authorization {',
        `  user: ${quoted(authorization.user, 'the user')}`,
        `  password: ${quoted(clientHash, 'the hash of the password')}`,
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

function clustered(
  { name, listen, routes }: NatsClusterSettings,
  authorization: NatsAuthorization,
): { lines: string[]; environment: Record<string, string> } {
  const password = routePassword(authorization);
  const user = password === undefined ? '' : `${routeUser}:${password}@`;
  const others = routes.map((route) => quoted(`nats-route://${user}${new URL(route).host}`, 'a route'));
  const list = `[${others.join(', ')}]`;
  const lines = [
    'cluster {',
    `  name: ${quoted(name, 'the name of the cluster')}`,
    `  listen: ${quoted(address(listen), 'the listen address of the cluster')}`,
    // Servers would tell clients every address of their hosts, virtual IPs among them: those lead elsewhere tomorrow.
    '  no_advertise: true',
  ];
  if (password === undefined) return { lines: [...lines, `  routes: ${list}`, '}'], environment: {} };
  lines.push(
    // The variables of the environment are read as if their text stood here.
    `  authorization {user: ${routeUser}, password: $KOI_ROUTE_PASSWORD, timeout: 2}`,
    '  routes: $KOI_ROUTES',
    // The addresses, of which a running server is told by a change of this file only.
    `  # ${routes.join(' ')}`,
    '}',
  );
  return { lines, environment: { KOI_ROUTE_PASSWORD: `"${password}"`, KOI_ROUTES: list } };
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

function quoted(text: string, what: string): string {
  const control = [...text].some((character) => character.charCodeAt(0) < 0x20 || character.charCodeAt(0) === 0x7f);
  if (control) {
    throw new KoiError('config', `${what} contains a control character`, { remedy: 'write it without' });
  }
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
