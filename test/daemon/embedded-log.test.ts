import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { koiMetric } from '../lab/koi-api.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { capabilitiesOf, Host, isRoot, type Running } from './host.js';

/** `koi run` with a nats-server of its own: real processes, a real kernel. */
describe.skipIf(!isRoot || natsServerBinary === undefined)(
  'log.embedded (needs root and nats-server)',
  { timeout: 90_000 },
  () => {
    let built: BuiltKoi;
    let host: Host;
    let koi: Running;

    beforeAll(() => {
      built = buildKoi();
    }, 60_000);
    afterAll(() => built?.remove());

    beforeEach(async () => {
      host = new Host(built.main);
      const server = `listen: "127.0.0.1:4222", storeDir: ${host.file('store')}, binary: ${natsServerBinary}`;
      host.configure({ log: `{user: koi, password: 'p"w', embedded: {${server}}}` });
      koi = host.koi('run');
      await host.becomesMaster();
      // Only what has been seen to serve is missed at once.
      await waitUntil(
        'the agent to see its nats-server serve',
        async () => ((await koiMetric(host.socket, 'koi_log_server_up')) === 1 ? undefined : koi.output),
        { deadlineMs: 30_000 },
      );
    }, 90_000);
    afterEach(() => host?.remove());

    const server = (): number => JSON.parse(readFileSync(host.file('state/nats-server.json'), 'utf8')).pid as number;
    const keeper = (): number => {
      const [, parent] = readFileSync(`/proc/${server()}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
      return Number(parent);
    };
    const lives = (pid: number): boolean =>
      existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
    const another = (pid: number): Promise<number> =>
      waitUntil(
        'another nats-server',
        () => (existsSync(host.file('state/nats-server.json')) && server() !== pid ? undefined : 'it is the same'),
        { deadlineMs: 30_000 },
      );

    /** What the log tells; nothing while it cannot be read. */
    const typesSince = (since: Date): Promise<string[]> =>
      host.timeline(since).then(
        (events) => events.map(({ type }) => type),
        () => [],
      );

    it('runs it without any capability, its secret in a file of its own; an agent that is killed takes nothing down', async () => {
      // It answers claims: in the session that `koi run` has put ahead, not in one of its own, which counts as any other.
      expect(readFileSync(`/proc/${server()}/autogroup`, 'utf8')).toMatch(/ nice -10\n/);

      const pid = server();
      for (const { CapEff, CapBnd, NoNewPrivs } of capabilitiesOf(pid)) {
        expect([CapEff, CapBnd, NoNewPrivs]).toEqual(['0000000000000000', '0000000000000000', '1']);
      }
      expect(statSync(host.file('state/nats-server.conf')).mode & 0o777).toBe(0o600);
      process.kill(host.pid('koi agent'), 'SIGKILL');
      await koi.says('the agent ended; starting it again');
      await host.becomesMaster();
      expect(server()).toBe(pid);
      expect(lives(pid)).toBe(true);
    });

    it('need not answer for what has happened to be told', async () => {
      const since = new Date(0);
      await host.becomesMaster();
      const types = await typesSince(since);
      expect(types).toContain('masterActive');
      process.kill(server(), 'SIGSTOP');
      try {
        const beforeMs = performance.now();
        expect((await host.timeline(since)).map(({ type }) => type)).toEqual(expect.arrayContaining(types));
        expect(performance.now() - beforeMs).toBeLessThan(1000);
      } finally {
        process.kill(server(), 'SIGCONT');
      }
    });

    it('tells of its crash, starts it again, and keeps the ownership', async () => {
      const since = new Date();
      const { vrs } = await host.becomesMaster();
      const pid = server();
      process.kill(pid, 'SIGKILL');
      await koi.says("this node's nats-server does not serve");
      await another(pid);
      const after = await host.until('the log', ({ log }) => (log.connected ? undefined : 'not connected'));
      expect(host.hasVip()).toBe(true);
      expect(after.vrs[0]).toMatchObject({ state: 'master', term: vrs[0]?.term });
      let types: string[] = [];
      await waitUntil(
        'the story in the log',
        async () => {
          types = await typesSince(since);
          return types.includes('episodeEnded') && types.includes('logRejoined') ? undefined : types.join();
        },
        { deadlineMs: 30_000 },
      );
      expect(types).toEqual(expect.arrayContaining(['logLost', 'episodeBegan']));
    });

    it('keeps it while its keeper is killed: the next one takes it over', async () => {
      const pid = server();
      const before = keeper();
      const served = koi.output.split('nats-server serves').length;
      process.kill(before, 'SIGKILL');
      await koi.says('the log-server ended; starting it again');
      await waitUntil(
        'a keeper that knows it',
        () => (koi.output.split('nats-server serves').length > served ? undefined : koi.output),
        {
          deadlineMs: 30_000,
        },
      );
      expect([server(), lives(pid)]).toEqual([pid, true]);
      // It is nobody's child now, and all the same ends with koi.
      koi.signal('SIGTERM');
      expect((await koi.end()).how).toBe(0);
      expect(lives(pid)).toBe(false);
    });

    it.each([
      ['SIGTERM', 'process'],
      ['SIGINT', 'group'],
    ] as const)('ends it last on %s to the %s: what was released stands in its log', async (signal, whom) => {
      const since = new Date();
      const pid = server();
      koi.signal(signal, whom);
      expect((await koi.end()).how).toBe(0);
      expect([lives(pid), host.processes()]).toEqual([false, []]);
      koi = host.koi('run');
      await host.becomesMaster();
      const types = (await host.timeline(since)).map(({ type }) => type);
      expect(types).toEqual(expect.arrayContaining(['released', 'nodeStopped', 'nodeStarted']));
      expect(types).not.toContain('logRegressed');
    });

    it('is wiped under a master: noticed, told in the new log, claimed again with a term no lower, no address lost', async () => {
      const [{ term } = { term: 0 }] = (await host.becomesMaster()).vrs;
      const since = new Date();
      let absences = 0;
      const watch = setInterval(() => {
        if (!host.hasVip()) absences += 1;
      }, 20);
      const pid = server();
      // Gone while the server runs: it dies, and the next one begins with nothing.
      rmSync(host.file('store'), { recursive: true, force: true });
      process.kill(pid, 'SIGKILL');
      await another(pid);
      let types: string[] = [];
      await waitUntil(
        'the story in the new log',
        async () => {
          types = await typesSince(since);
          return types.includes('logRegressed') && types.includes('claimed') ? undefined : types.join();
        },
        { deadlineMs: 30_000 },
      ).finally(() => clearInterval(watch));
      expect(absences).toBe(0);
      const after = await host.becomesMaster();
      expect(after.vrs[0]?.term).toBeGreaterThanOrEqual(term);
      const metrics = execFileSync('ip', ['netns', 'exec', host.netns, 'curl', '-s', 'http://127.0.0.1:9650/metrics'], {
        encoding: 'utf8',
      });
      expect(Number(/^koi_log_regressions_total (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);
    });
  },
);
