import type { Socket } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** PEM files. */
export interface NatsTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

interface ClientTls {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly checkServerIdentity: typeof checkServerIdentity;
}

/**
 * What the client is told of TLS; undefined where nothing asks for it. A server of `tls://` asks for it as the section
 * does: the client itself would take the scheme for decoration, and show a password to whoever answers in plain text.
 */
export function tlsOptions(servers: readonly string[], tls: NatsTls | undefined): ClientTls | undefined {
  if (tls === undefined && !servers.some((server) => server.startsWith('tls://'))) return undefined;
  const { ca, cert, key } = tls ?? {};
  return {
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(cert === undefined ? {} : { certFile: cert }),
    ...(key === undefined ? {} : { keyFile: key }),
    checkServerIdentity: checkDialled,
  };
}

/**
 * The client gives no name for a server that is known by its IP address, and Node then looks for `localhost` in the
 * certificate: what has to be in it is the address that was dialled. Node calls this on the options of the connection.
 */
function checkDialled(
  this: { readonly servername?: string; readonly socket?: Socket } | undefined,
  host: string,
  certificate: PeerCertificate,
): Error | undefined {
  const dialled = this?.servername === '' ? this.socket?.remoteAddress : undefined;
  return checkServerIdentity(dialled?.replace(/^::ffff:(?=\d+\.)/, '') ?? host, certificate);
}
