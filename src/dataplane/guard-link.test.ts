import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileGuard } from '../../test/guard/compile-guard.js';
import { type GuardAddress, type GuardExit, type GuardLink, type GuardOptions, startGuard } from './guard-link.js';
import { guardLimits } from './guard-protocol.js';

const directory = mkdtempSync(join(tmpdir(), 'koi-guard-link-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Options whose `exited` resolves with what `onExit` is told. */
function optionsFor(binary: string, more: Partial<GuardOptions> = {}): GuardOptions & { exited: Promise<GuardExit> } {
  let tell: (exit: GuardExit) => void = () => undefined;
  const exited = new Promise<GuardExit>((resolve) => {
    tell = resolve;
  });
  return {
    binary,
    group: 0,
    timeoutMs: 60_000,
    ackTimeoutMs: 5000,
    onReport: () => undefined,
    onExit: tell,
    exited,
    ...more,
  };
}

/** The n-th address that no host has: on a link that cannot be. */
function nowhere(n: number): GuardAddress {
  return { ifindex: 0x7ffffff0, family: 4, prefixLength: 32, bytes: Uint8Array.of(192, 0, n >> 8, n & 0xff) };
}

const frame = (length: number) => ({ ifindex: 0x7ffffff0, frame: new Uint8Array(length) });

/** A guard that is not ours, as a shell script: fd 3 and 4 are its pipes. */
function impostor(name: string, script: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

const acceptHello = String.raw`printf '\020\0\0\0\201\0\0\0\001\0\0\0\0\0\0\0' >&4`;

describe('a guard that is not as it should be', () => {
  test('missing: says how to build it', async () => {
    await expect(startGuard(optionsFor(join(directory, 'absent')))).rejects.toMatchObject({
      code: 'kernel',
      message: expect.stringContaining('absent'),
      remedy: expect.stringContaining('npm run install'),
    });
  });

  test('exits at once', async () => {
    await expect(startGuard(optionsFor(impostor('exits', 'exit 9')))).rejects.toMatchObject({
      code: 'internal',
      message: 'the hello: the guard exited with code 9',
    });
  });

  test('never answers the hello', async () => {
    const options = optionsFor(impostor('mute', 'exec sleep 60'), { ackTimeoutMs: 100 });
    await expect(startGuard(options)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('100 ms'),
    });
  });

  test('answers with something else', async () => {
    const options = optionsFor(impostor('rude', 'echo good evening, dataplane >&4; exec sleep 60'));
    await expect(startGuard(options)).rejects.toMatchObject({
      message: expect.stringContaining('unreadable: bad_length'),
    });
  });

  test('stops reading: the queue has a bound, then the guard is given up', async () => {
    const options = optionsFor(impostor('deaf', `${acceptHello}; exec sleep 60`));
    const link = await startGuard(options);
    const many = Array.from({ length: 4000 }, (_, n) => nowhere(n));
    const puts = Array.from({ length: 20 }, () => link.put('gw', many, []));
    expect(await options.exited).toMatchObject({ reason: 'pipe_full' });
    expect(link.alive).toBe(false);
    for (const put of await Promise.allSettled(puts)) expect(put.status).toBe('rejected');
  });

  test('leaves heartbeats unanswered', async () => {
    const options = optionsFor(impostor('silent', `${acceptHello}; exec sleep 60`));
    const link = await startGuard(options);
    for (let beat = 0; beat <= 20; beat++) link.heartbeat();
    expect(await options.exited).toMatchObject({ reason: 'unresponsive' });
    await expect(link.put('gw', [], [])).rejects.toMatchObject({
      code: 'internal',
      message: 'registering gw: the guard is gone',
    });
  });

  test('does not acknowledge a registration: the wait has a deadline that names the router', async () => {
    const link = await startGuard(optionsFor(impostor('slow', `${acceptHello}; exec sleep 60`), { ackTimeoutMs: 100 }));
    await expect(link.put('gw', [nowhere(1)], [])).rejects.toMatchObject({
      code: 'timeout',
      message: 'registering gw: the guard did not answer within 100 ms',
    });
    await link.bye();
    expect(link.alive).toBe(false);
  });
});

// The guard proves at start that it may remove addresses, so it starts for root alone.
describe.skipIf(process.getuid?.() !== 0)('the guard', () => {
  let binary: string;
  beforeAll(() => {
    binary = compileGuard(directory);
  });

  async function withGuard(use: (link: GuardLink) => Promise<void>): Promise<void> {
    const link = await startGuard(optionsFor(binary));
    try {
      await use(link);
    } finally {
      await link.bye();
    }
  }
  const refusedWith = (status: string) => ({
    code: 'protocol',
    message: expect.stringContaining(`refuses: ${status}`),
  });

  test('takes all it has room for, and refuses the next without forgetting what it has', async () => {
    await withGuard(async (link) => {
      const half = Array.from({ length: guardLimits.addresses / 2 }, (_, n) => nowhere(n));
      await link.put('one', half, []);
      await link.put('two', half, []);
      await expect(link.put('three', [nowhere(0)], [])).rejects.toMatchObject(refusedWith('too_many_addresses'));
      await link.put('one', half, []);
      await link.drop('one');
      await link.put('three', half, []);
    });
  });

  test('as many adverts and virtual routers as promised', async () => {
    await withGuard(async (link) => {
      const names = Array.from({ length: guardLimits.virtualRouters }, (_, n) => `vr${n}`);
      // Both families, each in two forms of checksum.
      const farewells = Array.from({ length: 4 }, () => frame(60));
      await Promise.all(names.map((name) => link.put(name, [], farewells)));
      await expect(link.put('vr0', [], [...farewells, frame(60)])).rejects.toMatchObject(
        refusedWith('too_many_adverts'),
      );
      await expect(link.put('more', [], [])).rejects.toMatchObject({
        message: expect.stringContaining('1024 virtual routers'),
      });
      await link.drop('vr7');
      await link.put('more', [], [frame(60)]);
    });
  });

  test('refuses what it cannot mean, and lives on', async () => {
    await withGuard(async (link) => {
      await expect(link.put('gw', [], [frame(513)])).rejects.toMatchObject(refusedWith('advert_too_long'));
      await expect(link.put('gw', [], [frame(13)])).rejects.toMatchObject(refusedWith('malformed'));
      await expect(link.put('gw', [{ ...nowhere(1), prefixLength: 33 }], [])).rejects.toMatchObject(
        refusedWith('malformed'),
      );
      await expect(link.put('gw', [{ ...nowhere(1), ifindex: 0 }], [])).rejects.toMatchObject(refusedWith('malformed'));
      await expect(link.put('gw', [{ ...nowhere(1), family: 6 }], [])).rejects.toMatchObject({ code: 'protocol' });
      await expect(link.setDeadline('gw', 1n)).rejects.toMatchObject({
        message: expect.stringContaining('not registered'),
      });
      const tooLong = Array.from({ length: 1000 }, () => frame(512));
      await expect(link.put('gw', [], tooLong)).rejects.toMatchObject({
        message: expect.stringContaining('262144 bytes'),
      });
      await link.put('gw', [nowhere(1)], [frame(60)]);
      expect(link.alive).toBe(true);
    });
  });

  test('the pipe is above the packet sockets to come, and nothing is left open', async () => {
    const socketsAbove = () => readdirSync('/proc/self/fd').filter((fd) => Number(fd) > 512).length;
    const before = socketsAbove();
    await withGuard(async () => expect(socketsAbove()).toBe(before + 2));
    expect(socketsAbove()).toBe(before);
  });

  test('a lease that ended is over until it is put again; one that was cleared or renewed does not end', async () => {
    const reports: unknown[] = [];
    let ended: () => void = () => undefined;
    const end = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const onReport: GuardOptions['onReport'] = (report) => {
      if (report.event !== 'lease_ended') return;
      reports.push([report.vr, report.addresses]);
      ended();
    };
    const link = await startGuard(optionsFor(binary, { onReport }));
    const now = process.hrtime.bigint();
    for (const vr of ['cleared', 'renewed', 'ending']) await link.put(vr, [nowhere(1)], []);
    void link.setDeadline('cleared', now + 500_000_000n);
    void link.setDeadline('cleared', undefined);
    void link.setDeadline('renewed', now + 500_000_000n);
    void link.setDeadline('renewed', now + 60_000_000_000n);
    await link.setDeadline('ending', now + 600_000_000n);
    await end;
    expect(reports).toEqual([['ending', { registered: 1, absent: 1, failed: 0, errno: 0 }]]);
    await expect(link.setDeadline('ending', now)).rejects.toMatchObject({ code: 'protocol' });
    await link.put('ending', [nowhere(1)], []);
    await link.bye();
  });

  test('without the right to remove addresses it does not start, and says which right', async () => {
    const script = impostor('unprivileged', `exec setpriv --bounding-set -net_admin --inh-caps -net_admin ${binary}`);
    await expect(startGuard(optionsFor(script))).rejects.toMatchObject({
      code: 'privilege',
      remedy: expect.stringContaining('CAP_NET_ADMIN'),
    });
  });
});
