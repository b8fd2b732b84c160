import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { observeFor, stallMs, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { capabilitiesOf, Host, isRoot, type Running, router } from './host.js';

/**
 * `koi run` as a user has it: real processes, a real kernel, a real log. A second node's agent, which has no dataplane,
 * reads the log meanwhile and says afterwards what stands there.
 */
describe.skipIf(!isRoot || natsServerBinary === undefined)('koi run (needs root and nats-server)', () => {
  let built: BuiltKoi;
  let host: Host;
  let reader: Running;
  let readerSocket: string;
  let koi: Running;
  let before: ReturnType<Host['kernel']>;
  let since: Date;

  beforeAll(async () => {
    built = buildKoi();
    host = new Host(built.main);
    await host.startLog();
    readerSocket = host.file('reader.sock');
    host.configure({
      node: 'reader',
      control: readerSocket,
      stateDir: host.file('reader-state'),
      http: '{listen: "127.0.0.1:9651"}',
    });
    const configFile = host.file('reader.yaml', host.read('koi.yaml'));
    reader = host.koi('agent', { configFile });
    await host.until('the reader to read', ({ log }) => (log.connected ? undefined : 'no log'), readerSocket);
    host.configure();
  }, 30_000);
  afterAll(() => {
    host?.remove();
    built?.remove();
  });

  beforeEach(async () => {
    before = await host.settled();
    since = new Date();
    koi = host.koi('run');
    await host.becomesMaster();
  });
  afterEach(async () => {
    if (koi.running) {
      koi.signal('SIGTERM');
      await koi.end();
    }
    // What a test that failed left is not the next one's.
    if (host.ip('-br link').includes('koi51')) await host.koi('clean').end();
  });

  /** The types of what this node wrote to the log since the test began, once `last` is among them. */
  async function logged(last: string): Promise<string[]> {
    let types: string[] = [];
    await waitUntil(
      `${last} in the log`,
      async () => {
        types = (await host.timeline(since, readerSocket)).filter(({ node }) => node === 'r1').map(({ type }) => type);
        return types.includes(last) ? undefined : types.join(', ');
      },
      { deadlineMs: 10_000 },
    );
    return types;
  }

  const nothingLeft = (): Promise<number> =>
    waitUntil('every process to end', () => host.processes().slice(1).join(', ') || undefined, { deadlineMs: 5000 });

  async function leavesNoTrace(): Promise<void> {
    await nothingLeft();
    expect(host.changesSince(before)).toEqual([]);
    expect([existsSync(host.socket), existsSync(host.file('koi.dataplane.sock'))]).toEqual([false, false]);
  }

  /** Not the reader's. */
  const ownAgents = (): number[] => host.pids('koi agent').filter((pid) => pid !== reader.pid);

  /** The guard first: it is the one that would act on the others' death. */
  function killEverything(): void {
    const pids = [host.pid('koi-guard'), host.pid('koi dataplane'), koi.pid, ...ownAgents()];
    for (const pid of pids) process.kill(pid, 'SIGKILL');
  }

  it('shows its processes by name; the agent has no capability in any thread and gains none', () => {
    expect(host.pid('koi run')).toBe(koi.pid);
    const [dataplane, guard] = [host.pid('koi dataplane'), host.pid('koi-guard')];
    const agents = host.pids('koi agent');
    expect(agents).toHaveLength(2);
    const none = '0000000000000000';
    for (const pid of agents) {
      const threads = capabilitiesOf(pid);
      expect(threads.length).toBeGreaterThan(4);
      for (const thread of threads) {
        expect(thread).toEqual({
          CapInh: none,
          CapPrm: none,
          CapEff: none,
          CapBnd: none,
          CapAmb: none,
          NoNewPrivs: '1',
        });
      }
    }
    const netAdminAndRaw = 0x3000n;
    for (const pid of [dataplane, guard]) {
      for (const { CapEff } of capabilitiesOf(pid)) expect(BigInt(`0x${CapEff}`) & netAdminAndRaw).toBe(netAdminAndRaw);
    }
  });

  it('ends on SIGTERM with exit code 0, at once, the kernel as it was, and the log knowing', async () => {
    expect(host.hasVip()).toBe(true);
    const toldMs = performance.now();
    koi.signal('SIGTERM');
    const { how, afterMs } = await koi.end(toldMs);
    expect(how).toBe(0);
    expect(afterMs).toBeLessThan(1500 + stallMs);
    await leavesNoTrace();
    expect(await logged('nodeStopped')).toContain('released');
    process.stdout.write(`koi run, SIGTERM to exit: ${afterMs.toFixed(0)} ms\n`);
  });

  it.each([
    ['Ctrl-C', 'SIGINT'],
    ['SIGTERM to every process at once', 'SIGTERM'],
  ] as const)(
    'ends on %s in its order: the log still hears of the release, nothing is started again',
    async (_, signal) => {
      koi.signal(signal, 'group');
      expect((await koi.end()).how).toBe(0);
      await leavesNoTrace();
      expect(await logged('nodeStopped')).toContain('released');
      expect(koi.output).not.toContain('starting it again');
    },
  );

  it('killed alone takes its children along, in their order', async () => {
    koi.signal('SIGKILL');
    await leavesNoTrace();
    expect(await logged('nodeStopped')).toContain('released');
    expect(koi.output).toContain('the end of koi run');
  });

  it('starts a killed agent again; the dataplane does not notice but for the log', async () => {
    const status = await host.becomesMaster();
    const [dataplane, guard] = [host.pid('koi dataplane'), host.pid('koi-guard')];
    const links = host.ip('-d link');
    const said = koi.output.length;
    for (const pid of ownAgents()) process.kill(pid, 'SIGKILL');
    await koi.says('the agent ended; starting it again');
    expect(host.hasVip()).toBe(true);
    const after = await host.becomesMaster();
    expect(after.vrs).toEqual(status.vrs);
    expect([host.pid('koi dataplane'), host.pid('koi-guard'), host.ip('-d link')]).toEqual([dataplane, guard, links]);
    expect(koi.output.slice(said)).not.toMatch(/gw: \w+ → \w+/);
    expect(await logged('masterActive')).toEqual(expect.not.arrayContaining(['released', 'dataplaneLost']));
  });

  it.each([
    ['killed', 'SIGKILL'],
    ['frozen', 'SIGSTOP'],
  ] as const)(
    'starts a %s dataplane again: its guard takes the address off, the agent releases, and it is master anew',
    async (_, signal) => {
      const [{ term } = { term: 0 }] = (await host.becomesMaster()).vrs;
      process.kill(host.pid('koi dataplane'), signal);
      await waitUntil('the address to go', () => (host.hasVip() ? 'it is there' : undefined), {
        deadlineMs: 500 + stallMs,
        everyMs: 5,
      });
      await koi.says('the dataplane ended; starting it again');
      await host.until('a new ownership', ({ guard, vrs: [vr] }) =>
        vr?.state === 'master' && vr.term > term && vr.standing === 'logged' && guard.up ? undefined : vr?.why,
      );
      expect(host.pids('koi-guard')).toHaveLength(1);
      expect(await logged('masterActive')).toEqual(expect.arrayContaining(['dataplaneLost', 'released']));
      koi.signal('SIGTERM');
      expect((await koi.end()).how).toBe(0);
      await leavesNoTrace();
    },
  );

  it('starts a killed guard again, which knows what to do', async () => {
    const guard = host.pid('koi-guard');
    const { vrs } = await host.becomesMaster();
    process.kill(guard, 'SIGKILL');
    await koi.says('the guard is gone; starting another');
    await waitUntil('another guard', () => (host.pids('koi-guard').length === 1 ? undefined : 'none'), {
      deadlineMs: 10_000,
    });
    expect(host.pid('koi-guard')).not.toBe(guard);
    expect([host.hasVip(), (await host.becomesMaster()).vrs]).toEqual([true, vrs]);
    await host.until('its word', (status) => (status.guard.up ? undefined : 'the guard is not up'));
    process.kill(host.pid('koi dataplane'), 'SIGKILL');
    await waitUntil('the address to go', () => (host.hasVip() ? 'it is there' : undefined), {
      deadlineMs: 500 + stallMs,
    });
  });

  it('takes none of its own changes for another program’s, however quickly one follows the other', async () => {
    host.configure({ virtualRouters: `[${router({ advertInterval: '10ms' })}]` });
    koi.signal('SIGHUP');
    await koi.says('advertIntervalMs 100ms → 10ms');
    const said = koi.output.length;
    for (let round = 0; round < 30; round++) {
      host.ip('link set eth1 down');
      host.ip('link set eth1 up');
      await waitUntil('the address', () => (host.hasVip() ? undefined : 'it is not there'), {
        deadlineMs: 10_000,
        everyMs: 5,
      });
    }
    expect(koi.output.slice(said)).not.toContain('another program changed');
    host.configure();
    koi.signal('SIGHUP');
    await koi.says('advertIntervalMs 10ms → 100ms');
  }, 60_000);

  it('told to end while its dataplane is dead, it cleans up itself', async () => {
    process.kill(host.pid('koi dataplane'), 'SIGKILL');
    koi.signal('SIGTERM');
    expect((await koi.end()).how).toBe(0);
    await leavesNoTrace();
  });

  it('killed with everything at once leaves what koi clean removes, and only then', async () => {
    killEverything();
    await koi.end();
    const left = host.changesSince(before).join('\n');
    for (const trace of ['link koi51', 'nftables', 'arp_announce']) expect(left).toContain(trace);

    const first = host.koi('clean --json');
    expect((await first.end()).how).toBe(0);
    const removed = JSON.parse(first.output) as Record<'links' | 'addresses' | 'sysctls', string[]>;
    expect(removed.links).toHaveLength(1);
    // On a busy machine its lifetime of two seconds may have run out by now.
    expect(removed.addresses.filter((address) => address !== '10.77.0.254')).toEqual([]);
    expect(removed.sysctls.join()).toContain('eth1/arp_announce');
    expect(host.changesSince(before)).toEqual([]);

    const second = host.koi('clean');
    expect([(await second.end()).how, second.output]).toEqual([0, 'nothing of koi was left\n']);
    expect(host.changesSince(before)).toEqual([]);
  });

  it('killed with everything at once, it starts over by itself: stale sockets, links and addresses are replaced', async () => {
    killEverything();
    await koi.end();
    expect(existsSync(host.socket)).toBe(true);
    koi = host.koi('run');
    await host.becomesMaster();
    expect(koi.output).toContain('removed what an earlier run had left in the kernel');
    expect(host.ip('-br addr').match(/10\.77\.0\.254/g)).toHaveLength(1);
    koi.signal('SIGTERM');
    expect((await koi.end()).how).toBe(0);
    await leavesNoTrace();
  });

  it('is not cleaned away while it runs', async () => {
    const clean = host.koi('clean');
    expect((await clean.end()).how).toBe(2);
    expect(clean.output).toMatch(/^koi: koi is running: .*\n {2}→ stop it first.*\n$/);
    expect(host.hasVip()).toBe(true);
  });

  it('is not disturbed by a second one, which says so once', async () => {
    const status = await host.becomesMaster();
    const second = host.koi('run');
    expect((await second.end()).how).toBe(2);
    expect(second.output.match(/^koi: .*/gm)).toEqual([expect.stringMatching(/^koi: control: koi is running already/)]);
    await observeFor(200);
    expect((await host.becomesMaster()).vrs).toEqual(status.vrs);
    expect(koi.running).toBe(true);
  });

  it('told to end in the middle of its start leaves nothing', async () => {
    koi.signal('SIGTERM');
    await koi.end();
    for (const afterMs of [150, 300, 450, 600]) {
      const early = host.koi('run');
      await observeFor(afterMs);
      early.signal('SIGTERM');
      const { how } = await early.end();
      expect([0, 'SIGTERM']).toContain(how);
      await leavesNoTrace();
    }
  });
});
