import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Attachment } from '../../src/attach/attachment.js';
import { attachLockDeadlineMs, guardsLock, linkLock } from '../../src/attach/interface-locks.js';
import { removeLeftovers } from '../../src/attach/leftovers.js';
import { installFailpoints } from '../../src/failpoint.js';
import { createMacvlan } from '../../src/kernel/links.js';
import { heldLocks, type LockName, LockSequence } from '../../src/kernel/lock.js';
import { KoiError } from '../../src/koi-error.js';
import { type Cable, layCable } from '../kernel/cable.js';
import { fileLocker, Holder } from './holder.js';
import { cluster, Host, specOf } from './host.js';

const spec = specOf(41);
let cable: Cable;
let host: Host;
let directory: string;
let attachment: Attachment;
let holder: Holder | undefined;

beforeAll(async () => {
  cable = await layCable();
  host = new Host();
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-ifupdown-'));
  attachment = host.attachment(spec, { ifupdownDirectory: directory });
});
afterEach(async () => {
  installFailpoints(undefined);
  await holder?.end();
  holder = undefined;
  await attachment.destroy();
  host.reset();
  rmSync(directory, { recursive: true });
  expect(heldLocks()).toBe(0);
});
afterAll(() => {
  host.close();
  cable.remove();
});

const parentLock = (): LockName => ({ rank: 'parent', key: cable.near });
const all = (): LockName[] => [parentLock(), linkLock(spec.linkName)];
const ifstate = (): string => join(directory, `ifstate.${cable.nearName}`);
const addresses = (): string[] => host.holders(spec.addresses).map(({ address }) => address);
const refusal = (attempt: Promise<unknown>): Promise<KoiError> =>
  attempt.then(
    () => Promise.reject(new Error('it was not refused')),
    (error: unknown) => (error instanceof KoiError ? error : Promise.reject(error)),
  );

describe('while another process has the locks', () => {
  test.each([
    ['guards', () => guardsLock()],
    ['parent', parentLock],
    ['link', () => linkLock(spec.linkName)],
  ] as const)(
    'of the %s: an attach is refused at its deadline, names the holder, and leaves nothing',
    async (_, name) => {
      holder = await Holder.of([name()]);
      holder.freeze();
      const startedMs = performance.now();
      const error = await refusal(attachment.attach(cable.near));
      const tookMs = performance.now() - startedMs;
      expect(error).toMatchObject({ code: 'timeout', message: expect.stringContaining(`held by pid ${holder.pid}`) });
      expect(error.remedy).toContain(`ps -fp ${holder.pid}`);
      expect(tookMs).toBeGreaterThan(attachLockDeadlineMs - 50);
      expect(tookMs).toBeLessThan(attachLockDeadlineMs + 5000);
      expect(addresses()).toEqual([]);
      process.stdout.write(`figure: refused ${(tookMs - attachLockDeadlineMs).toFixed(1)} ms after the deadline\n`);
    },
  );

  test('an attach goes on as soon as they are free, also where the holder is killed', async () => {
    holder = await Holder.of([parentLock()]);
    const attaching = attachment.attach(cable.near);
    await holder.end();
    expect((await attaching).valid).toBe(true);
    expect(addresses()).toEqual(spec.addresses);
  });

  test('preparing does not wait: it is refused at once, makes nothing, and succeeds afterwards', async () => {
    holder = await Holder.of([linkLock(spec.linkName)]);
    expect(() => attachment.prepare(cable.near)).toThrow(`not free, held by pid ${holder.pid}`);
    expect(host.koiLinks()).toEqual([]);
    await holder.end();
    attachment.prepare(cable.near);
    expect(host.koiLinks().map(({ name }) => name)).toEqual([spec.linkName]);
  });

  test('a release waits for none of them: the addresses go at once, the link is made anew when they are free', async () => {
    await attachment.attach(cable.near);
    holder = await Holder.of(all());
    holder.freeze();
    const startedMs = performance.now();
    attachment.detach();
    const tookMs = performance.now() - startedMs;
    expect(addresses()).toEqual([]);
    expect(tookMs).toBeLessThan(attachLockDeadlineMs);
    process.stdout.write(`figure: released in ${tookMs.toFixed(2)} ms under a lock that a stopped process holds\n`);

    const error = await refusal(attachment.remake());
    expect(error).toMatchObject({ code: 'timeout', message: expect.stringContaining(`held by pid ${holder.pid}`) });
    expect(host.koiLinks()).toEqual([]);
    await holder.end();
    attachment.prepare(cable.near);
    expect(host.koiLinks()).toHaveLength(1);
  });

  test('it is destroyed all the same', async () => {
    await attachment.attach(cable.near);
    holder = await Holder.of(all());
    holder.freeze();
    await attachment.destroy();
    expect(host.koiLinks()).toEqual([]);
  });

  test('a release ends an attach that waits for them', async () => {
    attachment.prepare(cable.near);
    holder = await Holder.of([linkLock(spec.linkName)]);
    const attaching = refusal(attachment.attach(cable.near));
    await new Promise((resolve) => setImmediate(resolve));
    attachment.detach();
    await attaching;
    expect(addresses()).toEqual([]);
  });
});

describe('while an attach is under way', () => {
  const takeable = (name: LockName): boolean => {
    const sequence = new LockSequence();
    try {
      sequence.demand(name);
      return true;
    } catch {
      return false;
    } finally {
      sequence.end();
    }
  };

  test('nobody else gets the locks from the check to the last act; afterwards all are free', async () => {
    const seen = new Map<string, string>();
    const look = (name: string): void => {
      const locked = all().map((lock) => (takeable(lock) ? '' : lock.rank));
      const file = execFileSync(fileLocker(), [ifstate(), 'look'], { encoding: 'utf8' }).trim();
      seen.set(name, [...locked, file === 'locked' ? 'file' : ''].filter((word) => word !== '').join(' '));
    };
    installFailpoints({ reached: async (name) => look(name), passed: look });
    await attachment.attach(cable.near);
    installFailpoints(undefined);
    for (const name of ['attach.parent', 'attach.guards'])
      expect([name, seen.get(name)]).toEqual([name, 'parent file']);
    for (const name of ['link.created', 'attach.link', 'attach.link_up', 'attach.registered', 'attach.addresses']) {
      expect([name, seen.get(name)]).toEqual([name, 'parent link file']);
    }
    look('afterwards');
    expect(seen.get('afterwards')).toBe('');
  });

  test('a release takes them away from it, and the next attach has them at once', async () => {
    let go: () => void = () => undefined;
    const waits = new Promise<void>((resolve) => {
      go = resolve;
    });
    let reached: () => void = () => undefined;
    const isThere = new Promise<void>((resolve) => {
      reached = resolve;
    });
    installFailpoints({
      reached: async (name) => {
        if (name !== 'attach.registered') return;
        reached();
        await waits;
      },
      passed: () => undefined,
    });
    const first = refusal(attachment.attach(cable.near));
    await isThere;
    installFailpoints(undefined);
    attachment.detach();
    expect(heldLocks()).toBe(0);
    expect((await attachment.attach(cable.near)).valid).toBe(true);
    go();
    expect((await first).message).toContain('it was released meanwhile');
    expect(addresses()).toEqual(spec.addresses);
  });

  test('two virtual routers on one parent do not wait for each other', async () => {
    const other = host.attachment(specOf(42), { ifupdownDirectory: directory });
    let inside = 0;
    let most = 0;
    installFailpoints({
      reached: async (name) => {
        if (name === 'attach.link') most = Math.max(most, ++inside);
        if (name === 'attach.link') await new Promise((resolve) => setTimeout(resolve, 20));
        if (name === 'attach.link_up') inside -= 1;
      },
      passed: () => undefined,
    });
    await Promise.all([attachment.attach(cable.near), other.attach(cable.near)]);
    expect(most).toBe(2);
    await other.destroy();
  });

  test('nothing is held while the LAN is asked for duplicates', async () => {
    const both = { ...spec, addresses: [...spec.addresses, 'fd77::41'] };
    let during = -1;
    const asking = host.attachment(both, {
      ifupdownDirectory: directory,
      duplicates: async () => {
        during = heldLocks();
        return 'nobody has it';
      },
    });
    await asking.attach(cable.near);
    expect(during).toBe(0);
    await asking.destroy();
  });
});

describe('while ifupdown works on the parent', () => {
  test('an attach waits for it', async () => {
    holder = Holder.ofFile(ifstate());
    await holder.says('held');
    const attaching = attachment.attach(cable.near);
    await holder.end();
    expect((await attaching).valid).toBe(true);
    expect(readFileSync(ifstate(), 'utf8')).toBe('');
  });

  test('not for ever, and says which process it is; a release does not wait at all', async () => {
    holder = Holder.ofFile(ifstate());
    await holder.says('held');
    const error = await refusal(attachment.attach(cable.near));
    expect(error.code).toBe('timeout');
    expect(error.message).toContain(
      `lock of file ${ifstate()}: not free within ${attachLockDeadlineMs} ms, held by pid ${holder.pid} (file-locker`,
    );
    expect(error.remedy).toBe(`ifup or ifdown works on ${cable.nearName}; see what it does: ps -fp ${holder.pid}`);
    await holder.end();

    await attachment.attach(cable.near);
    holder = Holder.ofFile(ifstate());
    await holder.says('held');
    attachment.detach();
    expect(addresses()).toEqual([]);
  });

  test('and it waits for an attach that is under way', async () => {
    installFailpoints({
      reached: async (name) => {
        if (name !== 'attach.link') return;
        holder = Holder.ofFile(ifstate());
        await holder.says('waiting');
      },
      passed: () => undefined,
    });
    await attachment.attach(cable.near);
    await holder?.says('held');
  });

  test('where nobody uses ifupdown, nothing is made and nothing is waited for', async () => {
    const without = host.attachment(spec, { ifupdownDirectory: join(directory, 'absent') });
    expect((await without.attach(cable.near)).valid).toBe(true);
    await without.destroy();
  });
});

describe('removing what an earlier run has left', () => {
  test('a link that another process works on is not removed, and the holder is named', async () => {
    attachment.prepare(cable.near);
    holder = await Holder.of([linkLock(spec.linkName)]);
    const error = await refusal(removeLeftovers(host.netlink, cluster));
    expect(error).toMatchObject({ code: 'timeout', message: expect.stringContaining(`held by pid ${holder.pid}`) });
    expect(host.koiLinks()).toHaveLength(1);
  });

  test('one that another koi is just making is left to it', async () => {
    const { linkName: name, virtualMac: mac, group } = spec;
    holder = await Holder.of([linkLock(name)]);
    const made = createMacvlan(host.netlink, { name, parentIfindex: cable.near, mac, mode: 'private', group });
    expect(made.ok).toBe(true);
    expect(await removeLeftovers(host.netlink, cluster)).toEqual({ links: [], addresses: [] });
    expect(host.koiLinks()).toHaveLength(1);
    await holder.end();
    expect((await removeLeftovers(host.netlink, cluster)).links).toEqual([name]);
  });
});

test('what a lock costs where nobody else wants it', () => {
  const rounds = 2000;
  const cost = (act: () => void): string => {
    for (let round = 0; round < 200; round += 1) act();
    const startedMs = performance.now();
    for (let round = 0; round < rounds; round += 1) act();
    return `${(((performance.now() - startedMs) * 1000) / rounds).toFixed(1)} µs`;
  };
  const once = (name: LockName) => () => {
    const sequence = new LockSequence();
    sequence.demand(name, 'process');
    sequence.end();
  };
  const [parent, file] = [cost(once(parentLock())), cost(once({ rank: 'file', key: ifstate() }))];
  process.stdout.write(`figure: taken and given back in: a socket lock ${parent}, a file lock ${file}\n`);
});
