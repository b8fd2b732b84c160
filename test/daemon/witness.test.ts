import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import { waitUntil } from '../lab/wait.js';
import { transition } from '../log/events.js';
import { freePorts } from '../log/nats-cluster.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type BuiltKoi, buildKoi } from './build.js';

/** `koi witness` as docs/log.md has it, three times. */
describe.skipIf(natsServerBinary === undefined)('koi witness', { timeout: 90_000 }, () => {
  let built: BuiltKoi;
  let directory: string;
  const started: { child: ChildProcess; said: string }[] = [];

  beforeAll(() => {
    built = buildKoi();
    directory = mkdtempSync(join(tmpdir(), 'koi-witness-'));
    writeFileSync(join(directory, 'secret'), 'dGhlIHNlY3JldA/+=\n', { mode: 0o600 });
  }, 60_000);
  afterEach(async () => {
    for (const { child } of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
    built?.remove();
  });

  function witness(...options: string[]): (typeof started)[number] {
    const PATH = `${join(natsServerBinary ?? '', '..')}:${process.env.PATH}`;
    const child = spawn(process.execPath, [built.main, 'witness', ...options], { env: { ...process.env, PATH } });
    const running = { child, said: '' };
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      running.said += text;
    });
    started.push(running);
    return running;
  }

  it('three of them make a log that bears the loss of one; SIGTERM ends each with its server', async () => {
    const ports = await freePorts(6);
    const names = ['r1', 'r2', 'w'];
    const all = names.map((name, index) =>
      witness(
        ...['--node', name, '--listen', `127.0.0.1:${ports[index]}`, '--cluster', `127.0.0.1:${ports[index + 3]}`],
        ...[
          '--routes',
          ports
            .slice(3)
            .filter((_, other) => other !== index)
            .map((port) => `nats://127.0.0.1:${port}`)
            .join(),
        ],
        ...['--store-dir', join(directory, name, 'store'), '--state-dir', join(directory, name)],
        ...['--user', 'koi', '--password-file', join(directory, 'secret')],
      ),
    );
    const logs: JetStreamLogs = openJetStreamLogs({
      cluster: 'edge',
      name: 'r1',
      servers: ports.slice(0, 3).map((port) => `nats://127.0.0.1:${port}`),
      replicas: 3,
      authentication: { kind: 'passwordFile', user: 'koi', file: join(directory, 'secret') },
    });
    const append = (deadlineMs: number): Promise<number> =>
      waitUntil(
        'an append',
        async () => {
          const result = await logs.events.append(transition('r1', 'a'), { deadlineMs: 1000 });
          return result.kind === 'stored'
            ? undefined
            : `${JSON.stringify(result)} ${all.map(({ said }) => said).join()}`;
        },
        { deadlineMs },
      );
    try {
      await append(40_000);
      const server = JSON.parse(readFileSync(join(directory, 'w', 'nats-server.json'), 'utf8')) as { pid: number };
      const [, , third] = all;
      if (third === undefined) throw new Error('unreachable');
      third.child.kill('SIGTERM');
      const [code] = (await once(third.child, 'close')) as [number];
      expect(code).toBe(0);
      expect(() => process.kill(server.pid, 0)).toThrow('ESRCH');
      expect(third.said).toContain('nats-server is stopped');
      await append(20_000);
    } finally {
      await logs.close();
    }
  });

  it.each([
    [[], 'it is not said where the server listens and keeps its streams'],
    [['--listen', '127.0.0.1:4222'], 'it is not said where the server keeps its streams'],
    [['--listen', '127.0.0.1:4222', '--store-dir', '/s', '--user', 'k'], 'user needs a password'],
  ] as const)('refuses the options %j, saying what is missing', async (options, message) => {
    const { child } = witness(...options);
    const running = started.at(-1);
    const [code] = (await once(child, 'close')) as [number];
    expect([code, running?.said]).toEqual([2, expect.stringContaining(message)]);
  });
});
