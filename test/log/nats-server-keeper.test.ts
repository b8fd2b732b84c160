import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import { findNatsServer } from '../../src/log/nats-server/binary.js';
import { waitUntil } from '../lab/wait.js';
import { KeptCluster, type KeptServer } from './nats-cluster.js';
import { natsServerBinary } from './nats-server.js';

const long = 'long '.repeat(30);
let cluster: KeptCluster | undefined;
afterEach(async () => {
  await cluster?.remove();
  cluster = undefined;
});

async function one(authorization?: Parameters<typeof KeptCluster.prepare>[1]): Promise<KeptServer> {
  cluster = await KeptCluster.prepare(['r1'], authorization);
  const [server] = cluster.servers;
  if (server === undefined) throw new Error('no server');
  return server;
}

function heirOf(server: KeptServer): KeptServer {
  if (cluster === undefined) throw new Error('no cluster');
  return cluster.heirOf(server);
}

/** As after a SIGKILL of the keeper: the server lives, its record is there, and nobody watches. */
async function takenOver(server: KeptServer): Promise<KeptServer> {
  const { pid } = server;
  const heir = heirOf(server);
  heir.start();
  await heir.serves();
  expect([heir.pid, lives(pid)]).toEqual([pid, true]);
  return heir;
}

const lives = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const states = (server: KeptServer): string[] => server.said.map(({ state }) => state);
const until = (server: KeptServer, state: string): Promise<number> =>
  waitUntil(state, () => (server.status?.state === state ? undefined : JSON.stringify(server.status)), {
    deadlineMs: 20_000,
  });

describe.skipIf(natsServerBinary === undefined)('the keeper of a nats-server', { timeout: 60_000 }, () => {
  it('runs one that writes before it confirms, and ends it', async () => {
    const server = await one();
    server.start();
    await server.serves();
    const { pid } = server;
    expect(server.status).toMatchObject({ state: 'serving', restarts: 0, problem: null });
    expect(server.status?.version).toMatch(/^2\.\d+/);
    const nats = await connect({ servers: server.url });
    expect(nats.info).toMatchObject({ server_name: 'r1', jetstream: true });
    await nats.close();
    expect(readFileSync(join(server.directory, 'nats-server.conf'), 'utf8')).toContain('sync_interval: always');
    await server.stop();
    expect(lives(pid)).toBe(false);
    expect(states(server).at(-1)).toBe('stopped');
  });

  it('notices its crash, says so, and starts it again', async () => {
    const server = await one();
    server.start();
    await server.serves();
    const { pid } = server;
    process.kill(pid, 'SIGKILL');
    await until(server, 'down');
    expect(server.status?.problem).toContain('nats-server ended (SIGKILL)');
    await server.serves();
    expect(server.pid).not.toBe(pid);
    expect(server.status?.restarts).toBe(1);
  });

  it('kills one that no longer answers, and starts another', async () => {
    const server = await one();
    server.start();
    await server.serves();
    const { pid } = server;
    process.kill(pid, 'SIGSTOP');
    await until(server, 'silent');
    expect(server.status?.problem).toContain('does not answer');
    await waitUntil('another', () => (server.status?.pid === pid || server.status?.pid == null ? 'none' : undefined), {
      deadlineMs: 20_000,
    });
    await server.serves();
    expect(lives(pid)).toBe(false);
  });

  it('says why it cannot start, and goes on trying', async () => {
    const server = await one();
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(server.settings.listen.port, '127.0.0.1', resolve));
    server.start();
    await waitUntil('a reason', () => ((server.status?.restarts ?? 0) > 1 ? undefined : 'none'), {
      deadlineMs: 20_000,
    });
    const down = server.said.find(({ state }) => state === 'down');
    expect(down?.problem).toMatch(/exit code 1\): .*address already in use.*; end what listens there/);
    squatter.close();
    await server.serves();
  });

  it('takes over a server that another keeper left behind, and lets it run', async () => {
    const server = await one();
    server.start();
    await server.serves();
    const { pid } = server;
    const heir = await takenOver(server);
    process.kill(pid, 'SIGKILL');
    await waitUntil('its end to be seen', () => (heir.said.some(({ state }) => state === 'down') ? undefined : 'no'), {
      deadlineMs: 10_000,
    });
  });

  it('takes over a server with a password, and replaces it where the password is another', async () => {
    const authorization = (password: string) => ({ kind: 'password', user: 'k', password }) as const;
    const server = await one(authorization('first'));
    server.start();
    await server.serves();
    const { pid } = server;
    await takenOver(server);
    const other = heirOf(server);
    other.start({ ...server.settings, authorization: authorization('second') });
    await waitUntil('the old one to end', () => (lives(pid) ? 'it lives' : undefined), { deadlineMs: 10_000 });
  });

  it('replaces a left server that runs with another configuration', async () => {
    const server = await one();
    server.start();
    await server.serves();
    const { pid } = server;
    const record = readFileSync(join(server.directory, 'nats-server.json'), 'utf8');
    writeFileSync(join(server.directory, 'nats-server.json'), record.replace(/"digest":"../, '"digest":"zz'));
    const heir = heirOf(server);
    heir.start();
    await waitUntil('the old one to end', () => (lives(pid) ? 'it lives' : undefined), { deadlineMs: 10_000 });
  });

  it.each([
    ['token', { kind: 'token', token: 'a"b\\c$d {e}' }, { token: 'a"b\\c$d {e}' }],
    ['password', { kind: 'password', user: 'k', password: '#p;w' }, { user: 'k', pass: '#p;w' }],
    // bcrypt looks at 72 bytes, of both.
    ['long password', { kind: 'password', user: 'k', password: `${long}.` }, { user: 'k', pass: `${long}.` }],
  ] as const)('lets in who has the %s, and hides it from other users', async (_, authorization, right) => {
    const server = await one(authorization);
    server.start();
    await server.serves();
    const nats = await connect({ servers: server.url, ...right });
    await nats.close();
    await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authorization/i);
    expect(statSync(join(server.directory, 'nats-server.conf')).mode & 0o777).toBe(0o600);
    const commandLine =
      readFileSync(`/proc/${server.pid}/cmdline`, 'utf8') + readFileSync(`/proc/${server.pid}/environ`, 'utf8');
    const configuration = readFileSync(join(server.directory, 'nats-server.conf'), 'utf8');
    for (const secret of Object.values(right).filter((each) => each !== 'k')) {
      expect(commandLine).not.toContain(secret);
      expect(configuration).not.toContain(secret);
    }
  });
});

describe('finding nats-server', () => {
  it('says what to do where there is none, it is too old, or is none', async () => {
    cluster = await KeptCluster.prepare(['x']);
    const place = join(cluster.servers[0]?.directory ?? '', '..');
    const fake = (name: string, script: string): string => {
      const file = join(place, name);
      writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      return file;
    };
    await expect(findNatsServer('/nowhere/nats-server')).rejects.toMatchObject({
      code: 'config',
      remedy: expect.stringContaining('install nats-server 2.11.0'),
    });
    await expect(findNatsServer(fake('old', 'echo nats-server: v2.9.10'))).rejects.toThrow('is nats-server 2.9.10');
    await expect(findNatsServer(fake('early', 'echo nats-server: v2.11.0-RC.1'))).rejects.toThrow('2.11.0-RC.1');
    await expect(findNatsServer(fake('other', 'echo hello'))).rejects.toThrow('does not tell its version');
    expect((await findNatsServer(fake('new', 'echo nats-server: v2.11.0'))).version).toBe('2.11.0');
  });
});
