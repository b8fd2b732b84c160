import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { leaveStaleSocket } from '../../test/daemon/stale-socket.js';
import { claimSocketPath, isAnswered } from './socket-path.js';

let dir: string;
let path: string;
let server: Server | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'koi-path-'));
  path = join(dir, 'koi.sock');
});
afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(dir, { recursive: true, force: true });
});

async function listen(): Promise<void> {
  server = createServer((socket) => socket.destroy()).listen(path);
  await once(server, 'listening');
}

describe('a socket path', () => {
  it('is free where nothing is, and its directory is made', async () => {
    const deep = join(dir, 'run', 'koi', 'koi.sock');
    await claimSocketPath('control', deep);
    expect(existsSync(join(dir, 'run', 'koi'))).toBe(true);
  });

  it('is made free where a dead daemon left its socket', async () => {
    leaveStaleSocket(path);
    expect(await isAnswered(path)).toBe(false);
    await claimSocketPath('dataplane', path);
    expect(existsSync(path)).toBe(false);
    await listen();
  });

  it('is refused where a daemon listens, which goes on listening', async () => {
    await listen();
    await expect(claimSocketPath('dataplane', path)).rejects.toMatchObject({
      code: 'config',
      message: `dataplane socket: another daemon listens on ${path}`,
      remedy: expect.stringContaining('stop it first') as string,
    });
    expect(await isAnswered(path)).toBe(true);
  });

  it('is refused where a file, a directory or a link stands there, which stays', async () => {
    writeFileSync(path, 'precious');
    const refusal = { code: 'config', message: expect.stringContaining('is not a socket') as string };
    await expect(claimSocketPath('control', path)).rejects.toMatchObject(refusal);
    expect(readFileSync(path, 'utf8')).toBe('precious');
    const directory = join(dir, 'directory');
    mkdirSync(directory);
    await expect(claimSocketPath('control', directory)).rejects.toMatchObject(refusal);
    const link = join(dir, 'link');
    symlinkSync(path, link);
    await expect(claimSocketPath('control', link)).rejects.toMatchObject(refusal);
  });

  it('is refused where its directory cannot be made', async () => {
    writeFileSync(join(dir, 'plain'), '');
    await expect(claimSocketPath('control', join(dir, 'plain', 'koi.sock'))).rejects.toMatchObject({
      code: 'config',
      remedy: expect.any(String) as string,
    });
  });
});
