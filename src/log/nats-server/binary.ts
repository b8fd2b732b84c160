import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { KoiError } from '../../koi-error.js';

/**
 * The oldest nats-server that Koi runs: 2.10.0 can write before it confirms, 2.10.23 no longer loses a stream when it is
 * killed, 2.11.0 moves a stream's leader where it is told.
 */
const floor = [2, 11, 0] as const;
export const natsServerFloor = floor.join('.');

const versionTimeoutMs = 5_000;
/** Where packages put daemons, and where the path of an ordinary user does not lead. */
const daemonDirectories = ['/usr/local/sbin', '/usr/sbin', '/usr/local/bin', '/usr/bin'];

export interface NatsServerBinary {
  readonly path: string;
  readonly version: string;
}

/**
 * Finds a nats-server and asks for its version.
 *
 * @param configured its path; undefined: the first one in `searchPath`, then where packages put it
 * @throws KoiError 'config' where there is none, it does not run, or is too old
 */
export async function findNatsServer(
  configured: string | undefined,
  searchPath = process.env.PATH ?? '',
): Promise<NatsServerBinary> {
  const remedy = `install nats-server ${natsServerFloor} or later (2.12 is better; a single file from https://github.com/nats-io/nats-server/releases) or name it in log.embedded.binary`;
  const places = [...searchPath.split(delimiter).filter((part) => part !== ''), ...daemonDirectories];
  const path = configured ?? places.map((place) => join(place, 'nats-server')).find(isExecutable);
  if (path === undefined) throw new KoiError('config', `there is no nats-server in ${searchPath}`, { remedy });
  if (!isExecutable(path)) throw new KoiError('config', `${path} cannot be executed`, { remedy });
  const version = await versionOf(path, remedy);
  if (isOlder(version)) {
    throw new KoiError('config', `${path} is nats-server ${version}; koi runs ${natsServerFloor} or later`, { remedy });
  }
  return { path, version };
}

async function versionOf(path: string, remedy: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: versionTimeoutMs, env: {} });
    const version = /^nats-server: v?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1];
    if (version !== undefined) return version;
    throw new Error(`it answers ${JSON.stringify(stdout.slice(0, 80))}`);
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw new KoiError('config', `${path} does not tell its version: ${why}`, { remedy, cause });
  }
}

function isOlder(version: string): boolean {
  const parts = version.split(/[.-]/).map(Number);
  for (const [index, least] of floor.entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part < least;
  }
  // 2.11.0-RC.1 comes before 2.11.0.
  return version.includes('-');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
