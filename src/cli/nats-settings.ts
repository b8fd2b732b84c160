import { nkeys } from '@nats-io/nats-core';
import type { EmbeddedLogConfig, LogAuthentication } from '../config/config.js';
import { readSecretFile } from '../config/secret-file.js';
import { KoiError } from '../koi-error.js';
import type { NatsAuthorization, NatsServerSettings } from '../log/nats-server/settings.js';

/**
 * The nats-server that a configuration's log.embedded asks for: whoever may connect as its nodes do, and nobody else.
 *
 * @throws KoiError 'config' or 'privilege' where a secret cannot be read
 */
export function natsServerSettings(
  node: string,
  embedded: EmbeddedLogConfig,
  authentication: LogAuthentication,
): NatsServerSettings {
  const { listen, storeDir, maxStoreBytes, cluster } = embedded;
  return {
    name: node,
    listen,
    storeDir,
    storeBytesMax: maxStoreBytes,
    cluster,
    authorization: authorizationOf(authentication),
  };
}

function authorizationOf(authentication: LogAuthentication): NatsAuthorization {
  switch (authentication.kind) {
    case 'none':
      return { kind: 'anyone' };
    case 'token':
    case 'password':
      return authentication;
    case 'passwordFile': {
      const { user, file } = authentication;
      return { kind: 'password', user, password: readSecretFile(file, 'log.passwordFile') };
    }
    case 'nkey': {
      const seed = readSecretFile(authentication.file, 'log.nkey').trim();
      return { kind: 'nkey', publicKey: publicKeyOf(seed, authentication.file), secret: seed };
    }
    case 'credentials':
      throw new KoiError('config', 'log.credentials: an embedded nats-server knows no accounts to check them against', {
        remedy: 'use log.user with log.passwordFile, log.token or log.nkey',
      });
  }
}

function publicKeyOf(seed: string, file: string): string {
  try {
    return nkeys.fromSeed(Buffer.from(seed)).getPublicKey();
  } catch (cause) {
    throw new KoiError('config', `log.nkey: ${file} does not hold the seed of an nkey`, {
      remedy: 'make one with `nk -gen user`; the file holds the line that begins with SU',
      cause,
    });
  }
}
