import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nowMs } from '../lab/clock.js';
import { type KernelState, kernelDifferences, readKernelState } from '../lab/kernel-state.js';
import { LogServer } from '../lab/log-server.js';
import { medianOf } from '../lab/median.js';
import { vip } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { attemptAs, attemptFreely, exposureOf, mainProcess, rightsOf, type Unit } from './confinement.js';
import { missing } from './debian-root.js';
import type { Machine } from './machine.js';
import { nextVersion, nextVersionOf, thePackage } from './packages.js';
import { Site, settled, takeovers, watched as watchedAt } from './site.js';

/*
 * The package's whole life on two routers that are Debian under systemd: install, serve, be restarted, killed and hung,
 * upgrade, remove, purge. Needs root, debootstrap and nats-server.
 */

const reason = missing();
if (reason !== undefined) process.stderr.write(`test/deb is skipped: ${reason}\n`);
const root = fileURLToPath(new URL('../..', import.meta.url));
const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** What of the machine's disk belongs to no package, without what a running system writes by itself. */
const listFiles =
  'find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /root ' +
  '-o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/lib/systemd \\) -prune -o -print | sort; ' +
  'sort /etc/passwd /etc/group /etc/shadow /etc/gshadow';

describe.skipIf(reason !== undefined)('the Debian package, under systemd', { timeout: 180_000 }, () => {
  let site: Site;
  let log: LogServer;
  let r1: Machine;
  let r2: Machine;
  let routers: Machine[] = [];
  const kernelBefore = new Map<string, KernelState>();
  const filesBefore = new Map<string, string>();

  const configure = (machine: Machine, priority: number): void =>
    machine.put(
      'etc/koi/koi.yaml',
      [
        'cluster: edge',
        `node: ${machine.name}`,
        `log: {servers: ["${log.url}"]}`,
        'virtualRouters:',
        `  - {name: gw, protocol: vrrp3, interface: eth1, id: 51, priority: ${priority}, advertInterval: 100ms, ` +
          `addresses: [${vip}/24]}`,
        '',
      ].join('\n'),
    );
  const holds = async (machine: Machine): Promise<boolean> => (await machine.do('ip -br addr')).includes(`${vip}/`);

  const watched = (action: () => Promise<unknown>) => watchedAt(site, routers, action);

  function sameKernel(machine: Machine): void {
    const differences = kernelDifferences(kernelBefore.get(machine.name) ?? new Map(), readKernelState(machine.netns));
    expect(differences, machine.name).toEqual([]);
  }

  beforeAll(async () => {
    const built = thePackage();
    site = new Site();
    const next = nextVersionOf(built, join(site.directory, 'next.deb'));
    const [host] = site.topology.logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    log = new LogServer({ host, directory: site.directory, logFile: join(site.directory, 'nats.log'), root });
    await log.start();
    routers = await Promise.all(site.topology.routers.map(({ name, netns }) => site.boot(name, netns)));
    [r1, r2] = routers as [Machine, Machine];
    for (const machine of routers) {
      machine.copy(built, 'root/koi.deb');
      machine.copy(next, 'root/next.deb');
      machine.copy(fileURLToPath(new URL('attempts', import.meta.url)), 'usr/local/bin/attempts');
      await machine.do('chmod 755 /usr/local/bin/attempts');
      // It has every link, and keeps the addresses that it finds there.
      machine.put(
        'etc/systemd/network/90-all.network',
        '[Match]\nName=*\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nKeepConfiguration=yes\n',
      );
      await machine.do('systemctl restart systemd-networkd');
      await waitUntil(
        'networkd to have eth1',
        async () => {
          const said = await machine.do('networkctl list --no-legend --no-pager');
          return /eth1 +ether +routable +configured/.test(said) ? undefined : said;
        },
        { deadlineMs: 30_000 },
      );
      kernelBefore.set(machine.name, readKernelState(machine.netns));
      filesBefore.set(machine.name, await machine.do(listFiles));
    }
  }, 900_000);
  afterAll(async () => {
    await site?.remove();
    await log?.kill();
  }, 60_000);

  it('installs, starts nothing, and shows how it is used', async () => {
    for (const machine of routers) await machine.do('dpkg -i koi.deb');
    expect(await r1.do('systemctl is-active koi-dataplane koi-agent koi.target || true')).toBe(
      'inactive\ninactive\ninactive',
    );
    expect(await r1.do('systemctl is-enabled koi.target || true')).toBe('disabled');
    expect(await r1.do("stat -c '%a %U %G' /etc/koi/koi.yaml /var/lib/koi /run/koi")).toBe(
      '640 root koi\n2770 koi koi\n2770 koi koi',
    );
    await r1.do('koi check -c /etc/koi/koi.yaml');
    const pages = 'for page in /usr/share/man/man[15]/koi*; do man --warnings -l -Tutf8 "$page" 2>&1 >/dev/null; done';
    expect(await r1.do(`${pages}; man -w koi-drain >/dev/null`)).toBe('');
    const units = 'koi-dataplane koi-agent koi-log-server koi-witness'.replace(
      /\S+/g,
      '/usr/lib/systemd/system/$&.service',
    );
    const { said } = await r1.run(`systemd-analyze verify ${units}`);
    expect(said.split('\n').filter((line) => line.includes('koi'))).toEqual([]);
  });

  it('serves once it is started', async () => {
    configure(r1, 200);
    configure(r2, 100);
    await r1.do('systemctl enable --now koi.target');
    await waitUntil('r1 to be master', async () => ((await holds(r1)) ? undefined : 'it is not'), {
      deadlineMs: 30_000,
    });
    await r2.do('systemctl enable --now koi.target');
    await settled(site, routers, 'master logged / backup null');
    expect(await r1.do('systemctl show -P StatusText koi-dataplane')).toContain('master of gw');
    await r1.do('koi status');
  });

  it('runs with the rights that it needs, and no others', async () => {
    const units: Unit[] = ['koi-agent', 'koi-dataplane', 'koi-log-server', 'koi-witness'];
    const exposure = new Map<Unit, number>();
    for (const unit of units) exposure.set(unit, await exposureOf(r1, unit));
    say(`systemd-analyze security: ${[...exposure].map(([unit, level]) => `${unit} ${level}`).join(', ')}`);
    for (const [unit, level] of exposure) expect(level, unit).toBeLessThan(unit === 'koi-dataplane' ? 4 : 2);

    const dataplane = await mainProcess(r1, 'koi-dataplane');
    const agent = await mainProcess(r1, 'koi-agent');
    const guard = Number(await r1.do(`pgrep -P ${dataplane} koi-guard`));
    const koi = await r1.do('id -u koi');
    const none = {
      effective: '0',
      permitted: '0',
      bounding: '0',
      ambient: '0',
      noNewPrivileges: true,
      isFiltered: true,
    };
    expect(rightsOf(r1, agent)).toEqual([{ ...none, user: koi }]);
    // CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_NET_ADMIN, CAP_NET_RAW: bits 5, 6, 7, 12, 13.
    const some = { ...none, effective: '30e0', permitted: '30e0', bounding: '30e0', user: '0' };
    expect(rightsOf(r1, dataplane)).toEqual([some]);
    for (const rights of rightsOf(r1, guard))
      expect(rights).toMatchObject({ noNewPrivileges: true, isFiltered: true, bounding: '30e0' });
    say(`capabilities: agent 0, dataplane 30e0, guard ${rightsOf(r1, guard).map(({ effective }) => effective)}`);
    // Adverts are due to the millisecond, and the guard acts when the dataplane cannot.
    const classOf = (pid: number): Promise<string> => r1.do(`ps -o cls= -p ${pid} | tr -d ' '`);
    expect(await classOf(dataplane)).toBe('RR');
    const mayRaise = (await r1.run('ulimit -r 1')).code === 0;
    if (mayRaise) expect(await classOf(guard)).toBe('FF');
    else
      say(
        'the scheduling of the guard is not looked at: CAP_SYS_RESOURCE is missing here, and LimitRTPRIO= asks for it',
      );
  });

  it('is confined in fact: what a process of each unit tries and may not do fails', async () => {
    const init = 1;
    const freely = await attemptFreely(r1, init);
    expect(Object.entries(freely).filter(([, could]) => !could)).toEqual([]);
    const could = async (unit: Unit): Promise<string[]> =>
      Object.entries(await attemptAs(r1, unit, init)).flatMap(([name, succeeded]) => (succeeded ? [name] : []));
    const other = await mainProcess(r1, 'koi-dataplane');
    expect(await attemptAs(r1, 'koi-agent', other)).toMatchObject({ 'signal another user': false });
    expect(await could('koi-agent')).toEqual(['write the state']);
    expect(await could('koi-log-server')).toEqual(['write the state']);
    expect(await could('koi-witness')).toEqual(['write the state']);
    // It ends check scripts and hooks that are late, whoever they run as.
    expect(await could('koi-dataplane')).toEqual([
      'make a link',
      'open a packet socket',
      'write the state',
      'signal another user',
    ]);
  });

  it('is asked to change something by root and the group koi, and by nobody else', async () => {
    expect(await r1.do("stat -c '%a %U %G' /run/koi/koi.sock")).toBe('660 koi koi');
    const asks = (user: string) => r1.run(`runuser -u ${user} -- koi status`);
    expect((await asks('koi')).code).toBe(0);
    const { code, said } = await asks('nobody');
    expect([code, said]).toEqual([3, expect.stringContaining('no permission')]);
  });

  it('10,000 requests over HTTP, beside clients that never end theirs, cost no packet', async () => {
    r1.copy(fileURLToPath(new URL('flood.cjs', import.meta.url)), 'root/flood.cjs');
    let answers = '';
    const seen = await watched(async () => {
      answers = await r1.do('/usr/lib/koi/bin/node flood.cjs');
    });
    say(`10,000 requests: ${answers}; ${seen.lost} of ${seen.sent} probes lost`);
    expect(JSON.parse(answers)).toEqual({ 200: 10_000 });
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
  });

  it('leaves its links to itself: networkd, which has every other, keeps its hands off', async () => {
    await r1.do('systemctl restart systemd-networkd');
    await waitUntil(
      'networkd to know the links',
      async () => {
        const said = await r1.do('networkctl list --no-legend --no-pager');
        return /koi51\S* +ether +\S+ +unmanaged/.test(said) && /eth1 +ether +\S+ +configured/.test(said)
          ? undefined
          : said;
      },
      { deadlineMs: 30_000 },
    );
    await settled(site, routers, 'master logged / backup null');
    expect(await r1.do('cat /proc/sys/net/ipv4/conf/koi51*/rp_filter')).toBe('0');
  });

  it('is told of a changed file by systemctl, and refuses a wrong one', async () => {
    const seen = await watched(async () => {
      const good = r1.read('etc/koi/koi.yaml');
      r1.put('etc/koi/koi.yaml', `${good}unknown: 1\n`);
      expect((await r1.run('systemctl reload koi-agent')).code).not.toBe(0);
      r1.put('etc/koi/koi.yaml', good);
      await r1.do('systemctl reload koi-agent');
    });
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
  });

  it('an agent that is restarted twenty times moves nothing', async () => {
    const dataplane = await mainProcess(r1, 'koi-dataplane');
    const tookMs: number[] = [];
    const seen = await watched(async () => {
      for (let round = 0; round < 20; round += 1) {
        const fromMs = nowMs();
        const { code, said } = await r1.run('systemctl restart koi-agent');
        tookMs.push(nowMs() - fromMs);
        if (code !== 0) {
          const journal = await r1.run("journalctl -b -n 80 -o short-monotonic --no-pager -u 'koi*'");
          throw new Error(`restart ${round + 1}: ${said}\n${journal.said}`);
        }
      }
    });
    await settled(site, routers, 'master logged / backup null');
    say(
      `agent restarted 20 times: ${medianOf(tookMs).toFixed(0)} ms median, ${Math.max(...tookMs).toFixed(0)} ms at most; ` +
        `${seen.lost} of ${seen.sent} probes lost, ${seen.moves} handovers`,
    );
    expect([seen.lost, seen.moves, await mainProcess(r1, 'koi-dataplane')]).toEqual([0, 0, dataplane]);
  });

  it('an agent is restarted as quickly while the log hangs, and moves nothing', async () => {
    const tookMs: number[] = [];
    const seen = await watched(async () => {
      log.freeze();
      for (let round = 0; round < 2; round += 1) {
        const fromMs = nowMs();
        await r1.do('systemctl restart koi-agent');
        tookMs.push(nowMs() - fromMs);
      }
      log.thaw();
      await settled(site, routers, 'master logged / backup null');
    });
    say(`agent restarted while the log hangs: ${tookMs.map((ms) => ms.toFixed(0)).join(' and ')} ms`);
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
  });

  it.each([
    ['dies', 'KILL'],
    ['hangs', 'STOP'],
  ])('a dataplane that %s is started again, and takes part again', async (_, signal) => {
    const before = await mainProcess(r1, 'koi-dataplane');
    const seen = await watched(async () => {
      await r1.do(`kill -${signal} ${before}`);
      await waitUntil(
        'r2 to be master, or r1 again',
        async () =>
          (await takeovers(routers)) > 1 && (await mainProcess(r1, 'koi-dataplane')) !== before ? undefined : 'not yet',
        { deadlineMs: 30_000 },
      );
      await settled(site, routers, 'master logged / backup null');
    });
    say(
      `a dataplane that is sent SIG${signal}: longest gap ${seen.gapMs.toFixed(0)} ms, ${seen.lost} of ${seen.sent} probes lost`,
    );
    expect(await mainProcess(r1, 'koi-dataplane')).not.toBe(before);
  });

  it('is upgraded without failover: the backup first, then the master', async () => {
    const dataplanes = await Promise.all(routers.map((machine) => mainProcess(machine, 'koi-dataplane')));
    const seen = await watched(async () => {
      for (const machine of [r2, r1]) {
        await machine.do('dpkg -i next.deb');
        await settled(site, routers, 'master logged / backup null');
      }
    });
    say(
      `upgraded: ${seen.lost} of ${seen.sent} probes lost, longest gap ${seen.gapMs.toFixed(1)} ms, ${seen.moves} handovers ` +
        '(away from the master, and back to it)',
    );
    for (const [index, machine] of routers.entries()) {
      expect(await machine.do('koi --version')).toContain(nextVersion);
      expect(await mainProcess(machine, 'koi-dataplane')).not.toBe(dataplanes[index]);
    }
    expect([seen.lost, seen.moves]).toEqual([0, 2]);
  });

  it('is not restarted by an upgrade where nobody could take over', async () => {
    await r2.do('systemctl stop koi.target');
    const before = await mainProcess(r1, 'koi-dataplane');
    const seen = await watched(async () => {
      expect(await r1.do('dpkg -i koi.deb 2>&1')).toContain('It was not restarted');
    });
    say(`upgraded alone: ${seen.lost} of ${seen.sent} probes lost`);
    expect([seen.lost, seen.moves, await mainProcess(r1, 'koi-dataplane')]).toEqual([0, 0, before]);
    await r1.do('systemctl restart koi-agent koi-dataplane');
    await r2.do('systemctl start koi.target');
    await settled(site, routers, 'master logged / backup null');
  });

  it('is removed without a trace in the kernel; what it leaves to another node moves without loss', async () => {
    const seen = await watched(async () => {
      await r1.do('dpkg -r koi');
      await waitUntil('r2 to serve', async () => site.prober.answering(500), { deadlineMs: 10_000 });
    });
    say(`removed while master: ${seen.lost} of ${seen.sent} probes lost, ${seen.moves} handovers`);
    expect([seen.lost, seen.moves, await holds(r2)]).toEqual([0, 1, true]);
    expect((await r1.run('pgrep -a koi; pgrep -af /usr/lib/koi/')).said).toBe('');
    sameKernel(r1);
    expect(await r1.do('ls /etc/koi/koi.yaml /var/lib/koi/')).toContain('/etc/koi/koi.yaml');
  });

  it('is installed again with what was kept, and purged without a trace while it serves', async () => {
    await r1.do('dpkg -i koi.deb && systemctl enable --now koi.target');
    await settled(site, routers, 'master logged / backup null');
    for (const machine of routers) {
      await machine.do('dpkg -P koi');
      sameKernel(machine);
      const rest =
        'pgrep -a koi; pgrep -af /usr/lib/koi/; getent passwd koi; getent group koi; ' +
        "find /run /sys/fs/cgroup /etc /usr /var /tmp -name '*koi*'; systemctl list-units --all --no-legend 'koi*'";
      expect((await machine.run(rest)).said, machine.name).toBe('');
      const files = await machine.do(listFiles);
      const [was, is] = [new Set(filesBefore.get(machine.name)?.split('\n')), new Set(files.split('\n'))];
      expect(
        [...is].filter((file) => !was.has(file)).map((file) => `new: ${file}`),
        machine.name,
      ).toEqual([]);
      expect(
        [...was].filter((file) => !is.has(file)).map((file) => `gone: ${file}`),
        machine.name,
      ).toEqual([]);
    }
    say('purged while serving: nothing left in the kernel, in the process table or on the disk');
  });
});
