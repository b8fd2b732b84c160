import { lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { KoiError } from '../koi-error.js';

const probeTimeoutMs = 1_000;

/**
 * Makes a path free for a unix socket: creates its directory, removes a socket file that nobody listens on.
 *
 * @throws KoiError 'config' where somebody listens there or the path holds something else, 'privilege' without the right
 */
export async function claimSocketPath(what: 'control' | 'dataplane' | 'log server', path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (!stat.isSocket()) {
      throw new KoiError('config', `${what} socket: ${path} exists and is not a socket`, {
        remedy: 'choose another path, or remove that file',
      });
    }
    if (await isAnswered(path)) {
      throw new KoiError('config', `${what} socket: another daemon listens on ${path}`, {
        remedy: 'stop it first, or choose another path for this one',
      });
    }
    unlinkSync(path);
  } catch (cause) {
    if (cause instanceof KoiError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new KoiError('privilege', `${what} socket: no permission to create ${path}`, {
        remedy: `let the user that koi runs as write ${dirname(path)}`,
        cause,
      });
    }
    throw new KoiError('config', `${what} socket: cannot use ${path}: ${message}`, {
      remedy: 'choose another path',
      cause,
    });
  }
}

/** Whether somebody accepts connections there. A full queue means somebody does; silence counts as an answer too. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const finish = (settle: () => void): void => {
      clearTimeout(deadline);
      socket.destroy();
      settle();
    };
    const deadline = setTimeout(() => finish(() => resolve(true)), probeTimeoutMs);
    socket.once('connect', () => finish(() => resolve(true)));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') finish(() => resolve(false));
      else if (error.code === 'EAGAIN') finish(() => resolve(true));
      else finish(() => reject(error));
    });
  });
}
