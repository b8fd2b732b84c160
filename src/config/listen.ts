import { isIP } from 'node:net';
import type { ListenAddress } from './config.js';

/** Reads `127.0.0.1:9650`, `[::1]:9650`, `localhost:9650` or `:9650` (every address); undefined where it is none. */
export function parseListen(text: string): ListenAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain, digits = ''] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? { host: bracketed, port } : undefined;
  if (plain === undefined || plain === '') return { host: '::', port };
  if (isIP(plain) === 0 && !/^(?![\d.]+$)[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(plain)) return undefined;
  return { host: plain, port };
}

/** The spelling that `parseListen` reads. */
export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Why a NATS server URL cannot be used; undefined where it can. */
export function serverUrlFault(text: string): { message: string; remedy: string } | undefined {
  const remedy = 'write it as nats://host:4222 or tls://host:4222';
  // What stands before the @ may be a password, which has no place in an error.
  const shown = text.replace(/\/\/.*@/, '//***@');
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { message: `'${shown}' is not a server URL`, remedy };
  }
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:') {
    return { message: `'${shown}' has the scheme '${url.protocol.slice(0, -1)}'`, remedy };
  }
  if (url.username !== '' || url.password !== '') {
    return {
      message: `the URL of server ${url.host} contains a user or password`,
      remedy: 'use log.user with log.passwordFile, log.token or log.credentials instead',
    };
  }
  if (url.hostname === '') return { message: `'${shown}' names no host`, remedy };
  if ((url.pathname !== '' && url.pathname !== '/') || url.search !== '' || url.hash !== '') {
    return { message: `'${shown}' has something after the port`, remedy };
  }
  return undefined;
}
