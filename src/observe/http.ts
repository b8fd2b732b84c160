import { createServer, type Server } from 'node:http';
import { claimSocketPath } from '../ipc/socket-path.js';
import { KoiError } from '../koi-error.js';
import { limitConnections } from './connection-limit.js';
import { createHandler } from './http-routes.js';
import type { ControlActions, HttpSources } from './http-sources.js';

const connectionsMax = 64;
// Some connections stay free for scrapes and probes however many people watch.
const followersMax = 16;
const closeTimeoutMs = 200;

/** A listening server. */
export interface Listening {
  /** Where it listens: `127.0.0.1:9650`, or the path of the socket. */
  readonly address: string;
  /** Stops listening and ends open answers; done at the latest after 200 ms. */
  close(): Promise<void>;
}

/**
 * Serves metrics, health, status, timeline and the status page over TCP, read-only.
 *
 * @throws KoiError 'config' where the address is taken or not of this host, 'privilege' where the port needs it
 */
export async function serveHttp(options: {
  readonly listen: { readonly host: string; readonly port: number };
  readonly sources: HttpSources;
}): Promise<Listening> {
  const { host, port } = options.listen;
  const server = limitedServer(createHandler({ sources: options.sources, actions: {}, followersMax }));
  try {
    await listening(server, () => server.listen({ host, port, exclusive: true }));
  } catch (error) {
    throw explainListen(error as NodeJS.ErrnoException, formatAddress(host, port));
  }
  const bound = server.address();
  const address =
    bound === null || typeof bound === 'string' ? formatAddress(host, port) : formatAddress(host, bound.port);
  return { address, close: () => closeServer(server) };
}

/**
 * Serves the same, and the actions that change something, over a unix socket of mode 0660. A socket file that nobody
 * listens on is replaced.
 *
 * @throws KoiError 'config' where another daemon listens there or the path is no socket, 'privilege' where the
 *   directory cannot be written
 */
export async function serveControl(options: {
  readonly path: string;
  readonly sources: HttpSources;
  readonly actions: ControlActions;
}): Promise<Listening> {
  const { path, sources, actions } = options;
  await claimSocketPath('control', path);
  const server = limitedServer(createHandler({ sources, actions, followersMax }));
  // listen() binds before it returns, so the socket never exists with wider permissions than these.
  const before = process.umask(0o117);
  const started = listening(server, () => server.listen({ path }));
  process.umask(before);
  try {
    await started;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new KoiError('config', `cannot listen on the control socket ${path}: ${code ?? message}`, {
      remedy: 'choose another path with control:',
      cause,
    });
  }
  return { address: path, close: () => closeServer(server) };
}

function limitedServer(handler: ReturnType<typeof createHandler>): Server {
  const server = createServer(
    {
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 8_192,
    },
    handler,
  );
  limitConnections(server, connectionsMax);
  server.maxRequestsPerSocket = 1_000;
  // Longer than a follower's heartbeat: it ends only connections on which nothing moves.
  server.setTimeout(30_000);
  return server;
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.removeListener('error', reject);
      // An accept that fails (no file descriptors left) costs that connection, not the daemon.
      server.on('error', () => undefined);
      resolve();
    });
    listen();
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const deadline = setTimeout(() => server.closeAllConnections(), closeTimeoutMs);
    server.close(() => {
      clearTimeout(deadline);
      resolve();
    });
    server.closeIdleConnections();
  });
}

function explainListen(error: NodeJS.ErrnoException, address: string): KoiError {
  switch (error.code) {
    case 'EADDRINUSE':
      return new KoiError('config', `http.listen: ${address} is in use by another program`, {
        remedy: `choose another port, or stop the other: ss -ltnp 'sport = :${address.split(':').at(-1)}' shows it`,
        cause: error,
      });
    case 'EACCES':
      return new KoiError('privilege', `http.listen: no permission to listen on ${address}`, {
        remedy: 'choose a port from 1024 on',
        cause: error,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new KoiError('config', `http.listen: ${address} is no address of this host`, {
        remedy: 'use an address of this host, or 0.0.0.0 for all',
        cause: error,
      });
    default:
      return new KoiError('config', `http.listen: cannot listen on ${address}: ${error.message}`, { cause: error });
  }
}

const formatAddress = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
