import { createRequire } from 'node:module';
import { binding } from '../kernel/binding.js';
import { KoiError } from '../koi-error.js';

/** What is used of a socket of the package `raw-socket` (socket(2) with SOCK_RAW, one protocol, one family). */
export interface RawSocket {
  send(
    buffer: Buffer,
    offset: number,
    length: number,
    address: string,
    after: (error: Error | null, bytes: number) => void,
  ): void;
  /** Throws with the errno's words. */
  setOption(level: number, option: number, value: Buffer, length: number): void;
  pauseRecv(): void;
  on(event: 'error', listener: (error: Error) => void): void;
  close(): void;
}

interface RawSocketModule {
  createSocket(options: { readonly protocol: number; readonly addressFamily: number }): RawSocket;
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
}

let loaded: RawSocketModule | undefined;

/**
 * The package, loaded on first use: where it cannot be, only what needs it fails.
 * @throws KoiError `kernel` when it was not compiled, or for another Node.
 */
function rawSocketModule(): RawSocketModule {
  try {
    loaded ??= createRequire(import.meta.url)('raw-socket') as RawSocketModule;
    return loaded;
  } catch (cause) {
    throw new KoiError('kernel', `the package raw-socket cannot be loaded: ${words(cause)}`, {
      remedy: 'compile it with "npm run install" in the package directory, with the Node that runs Koi',
      cause,
    });
  }
}

/** For what cannot do without: adverts to single peers. @throws KoiError `kernel` where the package cannot be loaded */
export function demandRawSockets(): void {
  rawSocketModule();
}

/** @throws KoiError `privilege` without CAP_NET_RAW, `kernel` otherwise */
export function openRawSocket(protocol: number, family: 4 | 6): RawSocket {
  const { createSocket, AddressFamily } = rawSocketModule();
  try {
    const addressFamily = family === 4 ? AddressFamily.IPv4 : AddressFamily.IPv6;
    const socket = createSocket({ protocol, addressFamily });
    // The package opens its sockets so that hooks would inherit them.
    binding().sealDescriptors();
    return socket;
  } catch (cause) {
    const message = `raw socket for IPv${family} protocol ${protocol}: ${words(cause)}`;
    if (!/not permitted/i.test(words(cause))) throw new KoiError('kernel', message, { cause });
    throw new KoiError('privilege', message, { remedy: 'run as root, or with CAP_NET_RAW', cause });
  }
}

const words = (cause: unknown): string =>
  cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
