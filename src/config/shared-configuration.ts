import { createHash, scrypt } from 'node:crypto';
import type { SharedConfiguration } from '../core/config-version.js';
import type { KoiConfig, VirtualRouterConfig } from './config.js';
import { readSecretFile } from './secret-file.js';

/** Tens of milliseconds and 16 MiB: whoever reads the log shall not try many keys. */
const scryptCost = { N: 1 << 14, r: 8, p: 1, maxmem: 32 << 20 };
const fingerprintBytes = 8;
/** Octets of a key that the protocol knows: `strlcpy` into 20 in CARP, 8 in VRRPv2. */
const significantOctets = { carp: 19, vrrp2: 8, vrrp3: 64 } as const;

/** What the key of a virtual router is on the wire; undefined where it has none. @throws KoiError as `readSecretFile` */
export function readSharedKey(config: VirtualRouterConfig): Uint8Array | undefined {
  const named = keyFileOf(config);
  if (named === undefined) return undefined;
  const octets = Buffer.from(readSecretFile(named.file, named.field), 'utf8');
  return octets.subarray(0, significantOctets[config.protocol]);
}

export const hasSharedKey = (config: VirtualRouterConfig): boolean => keyFileOf(config) !== undefined;

function keyFileOf(config: VirtualRouterConfig): { readonly file: string; readonly field: string } | undefined {
  if (config.protocol === 'carp') {
    return config.passwordFile === undefined ? undefined : { file: config.passwordFile, field: 'carp.passwordFile' };
  }
  const { authentication, authHmac } = config;
  if (authHmac !== undefined) return { file: authHmac.keyFile, field: 'authHmac.keyFile' };
  return authentication === undefined
    ? undefined
    : { file: authentication.passwordFile, field: 'vrrp2.auth.passwordFile' };
}

/**
 * Tells whether two keys of one cluster are the same, in 16 hexadecimal digits, and helps nobody to guess them: a slow
 * hash with the cluster for its salt. It runs outside the loop.
 */
export function keyFingerprint(cluster: string, key: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    scrypt(key, `koi shared configuration ${cluster}`, fingerprintBytes, scryptCost, (error, hash) => {
      if (error === null) resolve(hash.toString('hex'));
      else reject(error);
    });
  });
}

/** What all nodes of a virtual router must have in common. @param key its fingerprint, empty for none */
export function sharedConfiguration(config: VirtualRouterConfig, key: string): SharedConfiguration {
  const { protocol, id } = config;
  const addresses = config.addresses.map(({ address }) => address).sort();
  const form = formOf(config);
  const whole = JSON.stringify([protocol, id, addresses, form, key]);
  const digest = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return { digest, protocol, id, addresses, form, key };
}

/** What peers check besides addresses and key, in words. */
function formOf(config: VirtualRouterConfig): string {
  if (config.protocol === 'carp') return config.passwordFile === undefined ? '' : 'password';
  const { protocol, authentication, authHmac, checksum, advertIntervalMs } = config;
  const silent = config.addresses.flatMap(({ address, advertised }) => (advertised === false ? [address] : [])).sort();
  const words = [
    authentication === undefined ? '' : 'password',
    authHmac === undefined ? '' : `signed with key ${authHmac.keyId}, ${authHmac.mode}`,
    checksum === 'auto' ? '' : `checksum ${checksum}`,
    // RFC 3768 §7.1: an advert of another interval is refused.
    protocol === 'vrrp2' ? `interval ${advertIntervalMs} ms` : '',
    silent.length === 0 ? '' : `not advertised: ${silent.join(' ')}`,
  ];
  return words.filter((word) => word !== '').join(', ');
}

/** A configuration in which some virtual routers stay as they are, those that are not there yet do not come. */
export function holdBack(wanted: KoiConfig, current: KoiConfig, names: readonly string[]): KoiConfig {
  if (names.length === 0) return wanted;
  const kept = new Map(current.virtualRouters.map((router) => [router.name, router]));
  const virtualRouters = wanted.virtualRouters.map((router) =>
    names.includes(router.name) ? (kept.get(router.name) ?? router) : router,
  );
  return { ...wanted, virtualRouters };
}
