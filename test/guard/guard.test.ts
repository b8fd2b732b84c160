import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stallMs } from '../lab/wait.js';
import { compileGuard } from './compile-guard.js';
import {
  audibleFrame,
  ifindexOf,
  ip,
  type Lan,
  linkGroup,
  listenOn,
  makeLan,
  type Said,
  Speaker,
  stateOf,
} from './lan.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const isRoot = process.getuid?.() === 0;

const untouched = {
  links: ['lo', 'other', 'up0', 'v1', 'v2'],
  addresses: [
    'other 10.9.0.77',
    'up0 10.9.0.1',
    'up0 10.9.0.9',
    'v1 10.9.0.101',
    'v1 10.9.0.102',
    'v1 2001:db8::101',
    'v2 10.9.0.201',
  ],
};
const fenced = { links: ['lo', 'other', 'up0'], addresses: ['other 10.9.0.77', 'up0 10.9.0.1', 'up0 10.9.0.9'] };

// Needs root for network namespaces; elsewhere the protocol's unit tests still run.
describe.skipIf(!isRoot)('the guard, on a LAN', () => {
  let directory: string;
  let binary: string;
  let lan: Lan;
  let peer: Speaker;
  const speakers: Speaker[] = [];
  const strays: number[] = [];

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'koi-guard-'));
    binary = compileGuard(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  beforeEach(async () => {
    lan = makeLan();
    peer = await listenOn(lan.peer);
    speakers.push(peer);
  });
  afterEach(async () => {
    for (const pid of strays.splice(0)) process.kill(pid, 'SIGKILL');
    for (const { child } of speakers) child.kill('SIGKILL');
    await Promise.all(speakers.splice(0).map((speaker) => speaker.silence()));
    lan.remove();
  });

  interface Start {
    readonly timeoutMs?: number;
    readonly registered?: boolean;
    /** So many further virtual routers, each with an address on v1 that is added here. */
    readonly crowd?: number;
  }
  async function start(options: Start = {}): Promise<Speaker> {
    const [up0, v1, v2] = ['up0', 'v1', 'v2'].map((link) => ifindexOf(lan.router, link));
    const v4 = (ifindex: number | undefined, last: number) => ({
      ifindex,
      family: 4,
      prefixLength: 32,
      bytes: [10, 9, 0, last],
    });
    const v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    const registrations = [
      {
        vr: 'one',
        addresses: [v4(v1, 101), v4(v1, 102), { ifindex: v1, family: 6, prefixLength: 128, bytes: v6 }],
        adverts: [{ ifindex: up0, frame: audibleFrame('one, priority 0') }],
      },
      { vr: 'two', addresses: [v4(v2, 201)], adverts: [{ ifindex: up0, frame: audibleFrame('two, priority 0') }] },
      ...crowd(options.crowd ?? 0, v1),
    ];
    const setting = {
      binary,
      group: linkGroup,
      timeoutMs: options.timeoutMs ?? 300,
      heartbeatMs: 50,
      registrations: options.registered === false ? [] : registrations,
    };
    const script = join(root, 'test/guard/stand-in.ts');
    const speaker = new Speaker(lan.router, ['--import', 'tsx', script, JSON.stringify(setting)]);
    speakers.push(speaker);
    await speaker.hear('registered');
    return speaker;
  }

  function crowd(size: number, ifindex: number | undefined) {
    const members = Array.from({ length: size }, (_, n) => [10, 8, n >> 8, n & 255]);
    const lines = members.map((bytes) => `addr add ${bytes.join('.')}/32 dev v1\n`).join('');
    execFileSync('ip', ['-n', lan.router, '-batch', '-'], { input: lines });
    return members.map((bytes, n) => ({
      vr: `member ${n}`,
      addresses: [{ ifindex, family: 4, prefixLength: 32, bytes }],
      adverts: [],
    }));
  }

  /** Milliseconds from the end of the lease that was set last until `text` came in at the peer. */
  async function heardAfterEnd(dataplane: Speaker, text: string): Promise<number> {
    const heard = await peer.hear('heard', isText(text));
    const last = dataplane.said.filter(({ event }) => event === 'deadline').at(-1);
    return Number(BigInt(String(heard.ns)) - BigInt(String(last?.endNs))) / 1e6;
  }

  const isText = (text: string) => (said: Said) => said.text === text;
  /** Milliseconds from `startNs` until the peer heard both routers' last adverts. */
  async function heardBothAfter(startNs: bigint): Promise<number> {
    const both = await Promise.all(['one', 'two'].map((vr) => peer.hear('heard', isText(`${vr}, priority 0`))));
    return Math.max(...both.map((said) => Number(BigInt(String(said.ns)) - startNs) / 1e6));
  }

  test('a killed dataplane: addresses off, priority 0 out, links gone, nothing else touched', async () => {
    const dataplane = await start();
    dataplane.tell('child');
    strays.push(Number((await dataplane.hear('child')).pid));
    const startNs = process.hrtime.bigint();
    dataplane.child.kill('SIGKILL');
    const heardMs = await heardBothAfter(startNs);
    const report = await dataplane.hear('fenced');
    await dataplane.silence();
    expect(stateOf(lan.router)).toEqual(fenced);
    expect(report).toMatchObject({
      vrs: 2,
      dead: true,
      addresses: { registered: 4, absent: 0, failed: 0 },
      adverts: { sent: 2, failed: 0 },
      links: { group: linkGroup, errno: 0 },
    });
    expect(['pipe_closed', 'process_exited']).toContain(report.reason);
    expect(heardMs).toBeLessThan(100 + stallMs);
    tellTimes('SIGKILL', heardMs, report);
  });

  test.each(['SIGSTOP', 'hang'])('a dataplane that hangs (%s) is killed and fenced', async (how) => {
    const dataplane = await start();
    const startNs = process.hrtime.bigint();
    if (how === 'hang') dataplane.tell('hang');
    else dataplane.child.kill('SIGSTOP');
    const heardMs = await heardBothAfter(startNs);
    const report = await dataplane.hear('fenced');
    expect(await dataplane.exit()).toEqual({ code: null, signal: 'SIGKILL' });
    await dataplane.silence();
    expect(stateOf(lan.router)).toEqual(fenced);
    expect(report).toMatchObject({ reason: 'heartbeat_lost', killed: true, dead: true, vrs: 2 });
    expect(heardMs).toBeLessThan(500 + stallMs);
    tellTimes(how, heardMs, report);
  });

  test('a dataplane stopped for less than the timeout goes on', async () => {
    const dataplane = await start({ timeoutMs: 1000 });
    dataplane.child.kill('SIGSTOP');
    await wait(400);
    dataplane.child.kill('SIGCONT');
    dataplane.tell('beats');
    await dataplane.hear('beats');
    expect(stateOf(lan.router)).toEqual(untouched);
    expect(peer.said.filter((said) => said.event === 'heard')).toEqual([]);
  });

  test('a dataplane that holds nothing may be silent', async () => {
    const dataplane = await start({ timeoutMs: 100, registered: false });
    dataplane.child.kill('SIGSTOP');
    await wait(400);
    dataplane.child.kill('SIGCONT');
    dataplane.tell('beats');
    await dataplane.hear('beats');
    expect(stateOf(lan.router)).toEqual(untouched);
  });

  test('after BYE the guard touches nothing', async () => {
    const dataplane = await start();
    const { guardPid } = await dataplane.hear('registered');
    dataplane.tell('bye');
    await dataplane.hear('bye');
    expect(existsSync(`/proc/${guardPid}`)).toBe(false);
    expect(await dataplane.exit()).toEqual({ code: 0, signal: null });
    await dataplane.silence();
    expect(stateOf(lan.router)).toEqual(untouched);
    expect(peer.said.filter((said) => said.event === 'heard')).toEqual([]);
  });

  test('addresses and links in another namespace go too, and a last advert to a single peer finds its way', async () => {
    const blue = `${lan.router}b`;
    ip('netns', 'add', blue);
    try {
      const group = ['group', String(linkGroup), 'type', 'macvlan', 'mode', 'private'];
      ip('-n', lan.router, 'link', 'add', 'v9', 'link', 'up0', 'netns', blue, 'address', '00:00:5e:00:01:09', ...group);
      ip('-n', blue, 'addr', 'add', '10.9.0.109/32', 'dev', 'v9');
      ip('-n', blue, 'link', 'set', 'v9', 'up');
      const [up0, v9] = [ifindexOf(lan.router, 'up0'), ifindexOf(blue, 'v9')];
      const vip = { ifindex: v9, family: 4, prefixLength: 32, bytes: [10, 9, 0, 109] };
      const frame = audibleFrame('blue, priority 0', [10, 9, 0, 2]);
      const adverts = [{ ifindex: up0, frame, routed: true }];
      const registrations = [{ vr: 'blue', namespace: blue, addresses: [vip], adverts }];
      const setting = { binary, group: linkGroup, timeoutMs: 300, heartbeatMs: 50, registrations };
      const script = join(root, 'test/guard/stand-in.ts');
      const dataplane = new Speaker(lan.router, ['--import', 'tsx', script, JSON.stringify(setting)]);
      speakers.push(dataplane);
      await dataplane.hear('registered');
      dataplane.child.kill('SIGKILL');
      await peer.hear('heard', isText('blue, priority 0'));
      expect(await dataplane.hear('fenced')).toMatchObject({
        vrs: 1,
        addresses: { registered: 1, absent: 0, failed: 0 },
        adverts: { sent: 1, failed: 0 },
        links: { errno: 0 },
      });
      await dataplane.silence();
      expect(stateOf(blue)).toEqual({ links: ['lo'], addresses: [] });
      expect(stateOf(lan.router).links).toEqual(['lo', 'other', 'up0']);
    } finally {
      ip('netns', 'del', blue);
    }
  });

  test('a guard that has forgotten a router lets its namespace go; one that is not there is refused', async () => {
    const blue = `${lan.router}b`;
    const setting = { binary, group: linkGroup, timeoutMs: 300, heartbeatMs: 50 };
    const registrations = [{ vr: 'blue', namespace: blue, addresses: [], adverts: [] }];
    const script = join(root, 'test/guard/stand-in.ts');
    const begin = () => {
      const text = JSON.stringify({ ...setting, registrations });
      const speaker = new Speaker(lan.router, ['--import', 'tsx', script, text]);
      speakers.push(speaker);
      return speaker;
    };
    const refused = begin();
    await refused.hear('noise', (said) => String(said.line).includes('namespace_unusable'));

    ip('netns', 'add', blue);
    ip('-n', blue, 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'other-end', 'netns', lan.router);
    const dataplane = begin();
    await dataplane.hear('registered');
    ip('netns', 'del', blue);
    expect(stateOf(lan.router).links).toContain('other-end');
    dataplane.tell('drop blue');
    await dataplane.hear('dropped');
    await expect.poll(() => stateOf(lan.router).links, { timeout: 5000 }).not.toContain('other-end');
  });

  const withoutV1 = {
    links: untouched.links,
    addresses: untouched.addresses.filter((address) => !address.startsWith('v1')),
  };

  test('the end of a lease fences that router alone, though the heartbeat goes on', async () => {
    const dataplane = await start();
    dataplane.tell('deadline one 100');
    const { report } = await dataplane.hear('report', (said) => (said.report as Said).event === 'lease_ended');
    expect(report).toMatchObject({ vr: 'one', vrs: 1, addresses: { registered: 3, failed: 0 }, adverts: { sent: 1 } });
    expect((report as { lateUs: number }).lateUs).toBeLessThan(50_000 + stallMs * 1000);
    const heardMs = await heardAfterEnd(dataplane, 'one, priority 0');
    expect(heardMs).toBeGreaterThan(0);
    expect(heardMs).toBeLessThan(50 + stallMs);
    dataplane.tell('beats');
    await dataplane.hear('beats');
    expect(stateOf(lan.router)).toEqual(withoutV1);
    expect(peer.said.filter(isText('two, priority 0'))).toEqual([]);
    process.stdout.write(`guard, lease end: heard ${heardMs.toFixed(2)} ms after it; ${JSON.stringify(report)}\n`);
  });

  test('a lease that is renewed in time keeps its addresses, and ends when that stops', async () => {
    const dataplane = await start();
    dataplane.tell('renew one 400 50');
    await dataplane.hear('deadline', () => true, 20);
    expect(stateOf(lan.router)).toEqual(untouched);
    dataplane.tell('lapse');
    const heardMs = await heardAfterEnd(dataplane, 'one, priority 0');
    expect(heardMs).toBeGreaterThan(0);
    expect(heardMs).toBeLessThan(50 + stallMs);
    expect(stateOf(lan.router)).toEqual(withoutV1);
    process.stdout.write(`guard, lease not renewed: heard ${heardMs.toFixed(2)} ms after its end\n`);
  });

  test('a frozen dataplane loses what its lease carried at the end, long before its silence is judged', async () => {
    const dataplane = await start({ timeoutMs: 8000 });
    dataplane.tell('deadline one 300');
    await dataplane.hear('deadline');
    dataplane.child.kill('SIGSTOP');
    const heardMs = await heardAfterEnd(dataplane, 'one, priority 0');
    expect(heardMs).toBeGreaterThan(0);
    expect(heardMs).toBeLessThan(50 + stallMs);
    expect(stateOf(lan.router)).toEqual(withoutV1);
    dataplane.child.kill('SIGCONT');
    dataplane.tell('beats');
    await dataplane.hear('beats');
    expect(stateOf(lan.router)).toEqual(withoutV1);
    process.stdout.write(`guard, lease end while frozen: heard ${heardMs.toFixed(2)} ms after it\n`);
  });

  test('the end of a lease holds for a frozen dataplane too, before its silence is judged', async () => {
    const dataplane = await start({ timeoutMs: 1500 });
    dataplane.tell('deadline two 300');
    await dataplane.hear('deadline');
    dataplane.child.kill('SIGSTOP');
    const first = await dataplane.hear('lease_ended');
    const second = await dataplane.hear('fenced');
    expect(first).toMatchObject({ vr: 'two', addresses: { registered: 1, failed: 0 } });
    expect(second).toMatchObject({
      reason: 'heartbeat_lost',
      vrs: 2,
      addresses: { registered: 4, absent: 1, failed: 0 },
    });
    await dataplane.silence();
    expect(stateOf(lan.router)).toEqual(fenced);
  });

  test('what is added after the end of a lease goes again, until the router is dropped', async () => {
    const dataplane = await start();
    dataplane.tell('deadline two 100');
    await dataplane.hear('lease_ended');
    for (let round = 1; round <= 3; round += 1) {
      ip('-n', lan.router, 'addr', 'add', '10.9.0.201/32', 'dev', 'v2');
      await dataplane.hear('kept_off', () => true, round);
      expect(stateOf(lan.router).addresses).not.toContain('v2 10.9.0.201');
    }
    dataplane.tell('deadline two 60000');
    await dataplane.hear('refused', ({ message }) => String(message).includes('lease_ended'));
    dataplane.tell('drop two');
    await dataplane.hear('dropped');
    ip('-n', lan.router, 'addr', 'add', '10.9.0.201/32', 'dev', 'v2');
    dataplane.tell('beats');
    await dataplane.hear('beats');
    expect(stateOf(lan.router)).toEqual(untouched);
  });

  test('a router that is put again after the end of its lease has a new one', async () => {
    const dataplane = await start();
    dataplane.tell('deadline two 100');
    await dataplane.hear('lease_ended');
    dataplane.tell('put two');
    await dataplane.hear('put');
    dataplane.tell('deadline two 200');
    await dataplane.hear('deadline', () => true, 2);
    ip('-n', lan.router, 'addr', 'add', '10.9.0.201/32', 'dev', 'v2');
    expect(stateOf(lan.router)).toEqual(untouched);
    await dataplane.hear('lease_ended', () => true, 2);
    expect(stateOf(lan.router).addresses).not.toContain('v2 10.9.0.201');
  });

  test('five hundred routers whose lease ends are fenced together', async () => {
    const size = 500;
    const dataplane = await start({ crowd: size, timeoutMs: 5000 });
    dataplane.tell('deadline all 500');
    const { report } = await dataplane.hear('report', (said) => (said.report as Said).event === 'lease_ended');
    expect(report).toMatchObject({ vrs: size + 2, addresses: { registered: size + 4, absent: 0, failed: 0 } });
    expect(stateOf(lan.router)).toEqual({ links: untouched.links, addresses: fenced.addresses });
    const { lateUs, us } = report as { lateUs: number; us: { addresses: number; adverts: number } };
    expect(lateUs + us.addresses + us.adverts).toBeLessThan(150_000);
    process.stdout.write(`guard, ${size} leases end: ${JSON.stringify({ lateUs, us })}\n`);
  });

  test.each([
    ['SIGKILL', 'exited'],
    ['SIGSTOP', 'unresponsive'],
  ] as const)('a guard lost to %s is replaced, and nothing is fenced', async (signal, reason) => {
    const dataplane = await start();
    const { guardPid } = await dataplane.hear('registered');
    process.kill(Number(guardPid), signal);
    expect(await dataplane.hear('guardGone')).toMatchObject({ exit: { reason } });
    const { guardPid: next } = await dataplane.hear('registered', () => true, 2);
    expect(next).not.toBe(guardPid);
    expect(stateOf(lan.router)).toEqual(untouched);
    dataplane.child.kill('SIGKILL');
    await dataplane.hear('fenced');
    await dataplane.silence();
    expect(stateOf(lan.router)).toEqual(fenced);
  });

  test('the guard has a session of its own, its name in the process list, and stands every polite signal', async () => {
    const dataplane = await start();
    const { guardPid } = await dataplane.hear('registered');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(Number(guardPid), signal);
    dataplane.tell('beats');
    await dataplane.hear('beats');
    const described = execFileSync('ps', ['-o', 'sid=,comm=,args=', '-p', String(guardPid)], { encoding: 'utf8' });
    expect(described.trim().split(/\s+/)).toEqual([String(guardPid), 'koi-guard', 'koi-guard']);
    expect(await dataplane.hear('report')).toMatchObject({ report: { event: 'ready' } });
  });

  function tellTimes(how: string, heardMs: number, report: Said): void {
    const { silentUs, us } = report;
    process.stdout.write(`guard, ${how}: heard after ${heardMs.toFixed(1)} ms; ${JSON.stringify({ silentUs, us })}\n`);
  }
});
