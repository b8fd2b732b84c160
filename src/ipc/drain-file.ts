import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { KoiError } from '../koi-error.js';

const drained = z.strictObject({ format: z.literal(1), since: z.iso.datetime() });

/** Where the agent notes that the node is drained; the dataplane, which may start without an agent, reads it. */
const pathIn = (stateDir: string): string => join(stateDir, 'drained.json');

/**
 * Since when the operator has had this node out of service, milliseconds since 1970; undefined where it is in service.
 * A file that cannot be read as one counts as drained, from now on: it was made to keep this node from serving.
 */
export function readDrained(stateDir: string, nowMs: number): number | undefined {
  let text: string;
  try {
    text = readFileSync(pathIn(stateDir), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new KoiError('config', `${pathIn(stateDir)} cannot be read: ${String(error)}`, {
      remedy: 'let the user that runs koi read it: without it nobody knows whether this node is drained',
    });
  }
  try {
    return Date.parse(drained.parse(JSON.parse(text)).since);
  } catch {
    return nowMs;
  }
}

/**
 * Keeps what the operator wants beyond this process: on disk when it returns.
 * @throws KoiError `config` where the state directory takes no file
 */
export function writeDrained(stateDir: string, sinceMs: number | undefined): void {
  const path = pathIn(stateDir);
  try {
    if (sinceMs === undefined) {
      rmSync(path, { force: true });
    } else {
      writeSynced(`${path}.new`, JSON.stringify({ format: 1, since: new Date(sinceMs).toISOString() }));
      renameSync(`${path}.new`, path);
    }
    syncDirectory(dirname(path));
  } catch (error) {
    throw new KoiError('config', `${path} cannot be written: ${String(error)}`, {
      remedy: 'see that stateDir exists, has room, and belongs to the user that runs the agent',
    });
  }
}

function writeSynced(path: string, content: string): void {
  rmSync(path, { force: true });
  const file = openSync(path, 'wx', 0o640);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
