import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { heldLocks, type LockName, LockSequence } from './lock.js';

let locks = 0;
/** A lock that no other test run has: abstract names are shared by everybody in the namespace. */
const fresh = (rank: LockName['rank'] = 'parent'): LockName => ({ rank, key: `test-${process.pid}-${locks++}` });

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

const script = `
import { LockSequence } from ${JSON.stringify(fileURLToPath(new URL('./lock.ts', import.meta.url)))};
await new LockSequence().acquire(JSON.parse(process.env.LOCK), 5000);
process.stdout.write('held\\n');
setInterval(() => undefined, 1000);
`;

/** Another process that takes the lock and keeps it. */
async function holder(name: LockName): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    env: { ...process.env, LOCK: JSON.stringify(name) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  const { stdout, pid } = child;
  if (stdout === null || pid === undefined) throw new Error('no child');
  await once(createInterface({ input: stdout }), 'line', { signal: AbortSignal.timeout(15_000) });
  return child as ChildProcess & { pid: number };
}

describe('between tasks', () => {
  test('one holds it, the next has it as soon as it is released', async () => {
    const name = fresh();
    const first = await new LockSequence().acquire(name, 1000);
    const order: string[] = [];
    const second = new LockSequence().acquire(name, 2000).then((lock) => {
      order.push('second');
      return lock;
    });
    await new Promise((resolve) => setImmediate(resolve));
    order.push('release');
    first.release();
    first.release();
    (await second).release();
    expect(order).toEqual(['release', 'second']);
  });

  test('never two inside, though ten want in', async () => {
    const name = fresh();
    let inside = 0;
    let sections = 0;
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let n = 0; n < 5; n++) {
          const lock = await new LockSequence().acquire(name, 10_000);
          expect(++inside).toBe(1);
          await new Promise((resolve) => setImmediate(resolve));
          sections++;
          inside--;
          lock.release();
        }
      }),
    );
    expect(sections).toBe(50);
  });

  test('a deadline that passes names the lock and the holder', async () => {
    const name = fresh('link');
    const sequence = new LockSequence();
    await sequence.acquire(name, 1000);
    const started = performance.now();
    await expect(new LockSequence().acquire(name, 60)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(
        new RegExp(`^lock of link ${name.key}: not free within 60 ms, held by pid ${process.pid} \\(.*\\)$`),
      ),
      remedy: `see what it does: ps -fp ${process.pid}`,
    });
    expect(performance.now() - started).toBeLessThan(60 + 5000);
    sequence.end();
  });
});

describe('the order in which locks are taken', () => {
  test('parent before link is right, the other way round throws at once', async () => {
    const parent = fresh('parent');
    const link = fresh('link');
    const right = new LockSequence();
    await right.acquire({ rank: 'namespace', key: 'test' }, 1000);
    await right.acquire(parent, 1000);
    await right.acquire(link, 1000);
    right.end();

    const wrong = new LockSequence();
    await wrong.acquire(link, 1000);
    await expect(wrong.acquire(parent, 1000)).rejects.toMatchObject({
      code: 'internal',
      message: `lock of parent ${parent.key} must be taken before lock of link ${link.key}`,
    });
    wrong.end();
    (await new LockSequence().acquire(parent, 1000)).release();
  });

  test('locks of one rank go by their key, and none is taken twice', async () => {
    const sequence = new LockSequence();
    const key = 2_000_000_000 + process.pid * 10;
    await sequence.acquire({ rank: 'parent', key: key + 1 }, 1000);
    await expect(sequence.acquire({ rank: 'parent', key }, 1000)).rejects.toMatchObject({ code: 'internal' });
    await expect(sequence.acquire({ rank: 'parent', key: key + 1 }, 1000)).rejects.toMatchObject({ code: 'internal' });
    await sequence.acquire({ rank: 'parent', key: key + 2 }, 1000);
    sequence.end();
  });
});

describe('between processes', () => {
  test('the lock of one that is killed is free at once', async () => {
    const name = fresh();
    const child = await holder(name);
    await expect(new LockSequence().acquire(name, 200)).rejects.toMatchObject({
      message: expect.stringContaining(`held by pid ${child.pid}`),
      remedy: expect.stringContaining(String(child.pid)),
    });
    const waiting = new LockSequence().acquire(name, 5000);
    child.kill('SIGKILL');
    const killed = performance.now();
    const lock = await waiting;
    expect(performance.now() - killed).toBeLessThan(5000);
    lock.release();
  });

  test('a stopped holder makes nobody wait beyond the deadline, and is named all the same', async () => {
    const name = fresh();
    const child = await holder(name);
    child.kill('SIGSTOP');
    const started = performance.now();
    await expect(new LockSequence().acquire(name, 100)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining(`held by pid ${child.pid}`),
    });
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe.skipIf(process.getuid?.() !== 0)('between users (needs root)', () => {
  /** A process of the user nobody that sits on the lock's address, with these capabilities. */
  async function squatter({ rank, key }: LockName, capabilities: readonly string[]): Promise<ChildProcess> {
    const addon = fileURLToPath(new URL('../../build/Release/koi_kernel.node', import.meta.url));
    const code = `
      const kernel = require(${JSON.stringify(addon)});
      globalThis.held = kernel.open(1, 1, 0);
      if (kernel.bindAbstract(globalThis.held, 'koi/${rank}/${key}') === 0) console.log('held');
      setInterval(() => undefined, 1000);`;
    const words = ['--reuid', '65534', '--clear-groups', ...capabilities, process.execPath, '-e', code];
    const child = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
    children.add(child);
    if (child.stdout === null) throw new Error('no child');
    await once(createInterface({ input: child.stdout }), 'line', { signal: AbortSignal.timeout(15_000) });
    return child;
  }

  test('one that could not change an interface keeps nobody from a lock', async () => {
    const name = fresh();
    const child = await squatter(name, []);
    const sequence = new LockSequence();
    const lock = sequence.demand(name);
    expect(lock.warning).toContain(`is kept by pid ${child.pid} (`);
    expect(lock.warning).toContain('of user 65534: not waited for');
    sequence.end();
  });

  test('one that could, does', async () => {
    const name = fresh();
    await squatter(name, ['--inh-caps', '+net_admin', '--ambient-caps', '+net_admin']);
    expect(() => new LockSequence().demand(name)).toThrow('not free');
  });
});

describe('where nothing can be waited for', () => {
  test('it is taken or refused at once', () => {
    const name = fresh();
    const before = heldLocks();
    const sequence = new LockSequence();
    sequence.demand(name);
    expect(heldLocks()).toBe(before + 1);
    expect(() => new LockSequence().demand(name)).toThrow(`not free, held by pid ${process.pid}`);
    sequence.end();
    expect(heldLocks()).toBe(before);
    const again = new LockSequence();
    again.demand(name).release();
    again.end();
  });

  test('a sequence that has ended takes nothing that it was waiting for', async () => {
    const name = fresh();
    const first = new LockSequence();
    first.demand(name);
    const second = new LockSequence();
    const waiting = second.acquire(name, 20_000);
    const refused = expect(waiting).rejects.toMatchObject({ code: 'timeout' });
    second.end();
    first.end();
    await refused;
    const third = new LockSequence();
    third.demand(name);
    third.end();
  });
});

describe('shared within a process', () => {
  test('its tasks are inside together, another process only after the last of them', async () => {
    const name = fresh();
    const [first, second] = [new LockSequence(), new LockSequence()];
    first.demand(name, 'process');
    second.demand(name, 'process');
    first.end();
    expect(() => new LockSequence().demand(name)).toThrow('not free');
    second.end();
    const child = await holder(name);
    expect(() => new LockSequence().demand(name, 'process')).toThrow(`pid ${child.pid}`);
  });
});

describe('a file that other programs lock', () => {
  const directory = mkdtempSync(join(tmpdir(), 'koi-lock-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  test('is made where its directory exists, and is free where there is none', () => {
    const path = join(directory, 'made');
    const sequence = new LockSequence();
    sequence.demand({ rank: 'file', key: join(directory, 'absent', 'file') });
    sequence.demand({ rank: 'file', key: path });
    expect(readFileSync(path, 'utf8')).toBe('');
    sequence.end();
  });

  test('is waited for, in one process as well, and is free again', async () => {
    const name: LockName = { rank: 'file', key: join(directory, 'one') };
    const first = new LockSequence();
    first.demand(name);
    expect(() => new LockSequence().demand(name)).toThrow('held by a process that the kernel does not name');
    const second = new LockSequence().acquire(name, 20_000);
    first.end();
    (await second).release();
  });
});
