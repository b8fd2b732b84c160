import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linesOf, shellBlocks } from '../docs/blocks.js';
import { waitUntil } from '../lab/wait.js';
import { missing } from './debian-root.js';
import { Page, packageNamed, quickStart } from './document.js';
import type { Machine } from './machine.js';
import { nextVersion, nextVersionOf, thePackage } from './packages.js';
import { metricOf, Site, settled, statesOf, statusOf, watched as watchedAt } from './site.js';

/*
 * docs/migration.md and docs/operations.md, typed into two routers and a witness that are Debian under systemd: a keepalived
 * pair becomes a Koi pair, which is upgraded and taken back, drained, loses its log, has it restored and begun anew, gets
 * other keys and loses a node. A client probes all the time. Needs root and debootstrap.
 */

const reason = missing();
if (reason !== undefined) process.stderr.write(`test/deb is skipped: ${reason}\n`);
const docs = fileURLToPath(new URL('../../docs', import.meta.url));
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const bothServe = 'master logged / backup null';

describe.skipIf(reason !== undefined)('the pages on migration and operation', { timeout: 180_000 }, () => {
  let site: Site;
  let r1: Machine;
  let r2: Machine;
  let witness: Machine;
  let routers: Machine[] = [];
  const start = new Page(quickStart);
  const migration = new Page(join(docs, 'migration.md'));
  const operations = new Page(join(docs, 'operations.md'));
  const change = 'The change, one router at a time';

  /** What the page says of a router, said of this machine. */
  const of = (machine: Machine, text: string): string =>
    machine === witness ? text.replaceAll('koi-log-server', 'koi-witness') : text;
  const type = (text: string, machine: Machine): Promise<string> => machine.do(of(machine, text));
  /** Typed again until it succeeds, as who is told to wait does. */
  const untilDone =
    (line: string) =>
    (machine: Machine): Promise<number> =>
      waitUntil(
        line,
        async () => {
          const { code, said } = await machine.run(line);
          return code === 0 ? undefined : said;
        },
        { deadlineMs: 30_000, everyMs: 500 },
      );
  /** Each line on every server before the next one. */
  async function everywhere(text: string): Promise<void> {
    for (const line of linesOf(text)) await Promise.all([r1, r2, witness].map((machine) => type(line, machine)));
  }
  const isSettled = (expected: string): Promise<void> => settled(site, routers, expected);
  /** Every node appends to the log. */
  const connected = (): Promise<number> =>
    waitUntil(
      'the log',
      async () => {
        const states = await Promise.all(routers.map(async (machine) => (await statusOf(machine)).log.connected));
        return states.every(Boolean) ? undefined : 'a node is not connected';
      },
      { deadlineMs: 60_000, everyMs: 100 },
    );
  const termOf = async (machine: Machine): Promise<number> => (await statusOf(machine)).vrs[0]?.term ?? 0;
  const regressions = async (): Promise<number[]> =>
    Promise.all(routers.map((machine) => metricOf(machine, 'koi_log_regressions_total')));

  /** Every server has the same events at the same places. */
  const alike = (): Promise<number> =>
    waitUntil(
      'the servers to have the same log',
      async () => {
        const sum = 'cat /var/lib/koi/nats/jetstream/*/streams/KOI_EDGE/msgs/*.blk | sha256sum';
        const sums = await Promise.all([r1, r2, witness].map((machine) => machine.do(sum)));
        return new Set(sums).size === 1 ? undefined : sums.join(' ');
      },
      { deadlineMs: 10_000, everyMs: 200 },
    );

  /** What the client sees of what promises no outage, and how often the master changes. */
  async function withoutLoss(what: string, moves: number, action: () => Promise<unknown>): Promise<void> {
    const seen = await watchedAt(site, routers, action);
    say(`${what}: ${seen.lost} of ${seen.sent} probes lost, ${seen.moves} handovers`);
    expect([seen.lost, seen.moves], what).toEqual([0, moves]);
  }
  /** To the other, and back by preemption: the log has something to remember, and terms rise. */
  async function thereAndBack(): Promise<void> {
    const term = await termOf(r1);
    // A log that has just begun anew elects its leaders first; whoever asks is told so, and asks again.
    await untilDone('koi handover gw')(r1);
    const isBack = async (): Promise<string | undefined> => {
      const now = await termOf(r1);
      return now >= term + 2 ? undefined : `term ${now}, after ${term}`;
    };
    await waitUntil('it to come back', isBack, { deadlineMs: 30_000, everyMs: 100 });
    await isSettled(bothServe);
  }
  /** The log forgets: every router notices it, and no term is set back by it. */
  async function forgotten(what: string, action: () => Promise<void>): Promise<void> {
    const before = await regressions();
    const term = await termOf(r1);
    await withoutLoss(what, 0, async () => {
      await action();
      const noticed = async (): Promise<string | undefined> => {
        const after = await regressions();
        return after.every((count, index) => count > (before[index] ?? 0)) ? undefined : `regressions ${after}`;
      };
      await waitUntil('every router to notice it', noticed, { deadlineMs: 60_000, everyMs: 200 });
      await isSettled(bothServe);
    });
    expect(await termOf(r1)).toBeGreaterThanOrEqual(term);
    await waitUntil(
      'the timeline to tell of it',
      async () => {
        const { said } = await r1.run('koi timeline --since 2m');
        return /forgot|regress|lost|another history|older/i.test(said) ? undefined : said;
      },
      { deadlineMs: 30_000, everyMs: 500 },
    );
    await connected();
    await isSettled(bothServe);
    await alike();
    const taken = await termOf(r1);
    await withoutLoss(`${what}, then there and back`, 2, thereAndBack);
    expect(await termOf(r1)).toBeGreaterThan(taken + 1);
    say(`${what}: koi_log_regressions_total ${before} → ${await regressions()}, term ${term} → ${await termOf(r1)}`);
  }

  beforeAll(async () => {
    const built = thePackage();
    site = new Site();
    [r1, r2, witness] = await site.bootWithWitness();
    routers = [r1, r2];
    const next = nextVersionOf(built, join(site.directory, 'next.deb'));
    for (const machine of [r1, r2, witness]) {
      machine.copy(built, `root/${packageNamed(start.left[0]?.text)}`);
      machine.copy(next, `root/${packageNamed(operations.left[0]?.text)}`);
    }
    for (const [machine, priority] of [
      [r1, 200],
      [r2, 100],
    ] as const) {
      machine.put(
        'etc/keepalived/keepalived.conf',
        [
          'vrrp_instance gw {',
          ...['version 3', 'interface eth1', 'use_vmac', 'virtual_router_id 51', `priority ${priority}`],
          ...['advert_int 0.1', 'virtual_ipaddress {', '10.77.0.254/24', '}', '}', ''],
        ].join('\n'),
      );
    }
    for (const machine of routers) await machine.do('systemctl enable --now keepalived');
    await waitUntil('keepalived to serve', () => site.prober.answering(1000), { deadlineMs: 30_000 });
  }, 900_000);
  afterAll(async () => {
    await site?.remove();
  }, 60_000);

  it('beside a keepalived that serves: install, import, check', async () => {
    const installs = start.next('1. Install, on all three');
    const secrets = start.next('2. Two secrets, the same on all three');
    const rights = start.next('2. Two secrets, the same on all three');
    // The section on the log, as the quick start has it for r1; r2 has the addresses exchanged.
    const log = /^log:\n(?: .*\n)+lanKeyFile.*\n/m.exec(start.next('3. Configure', 'yaml'))?.[0] ?? '';
    const logOf = (machine: Machine): string =>
      machine === r1
        ? log
        : log.replaceAll(/10\.99\.0\.([12]):/g, (_, each: string) => `10.99.0.${each === '1' ? 2 : 1}:`);
    const imports = migration.next('The configuration');
    const checks = migration.next(change);
    await withoutLoss('installed and imported beside keepalived', 0, async () => {
      for (const machine of [r1, r2, witness]) await type(installs, machine);
      await type(secrets, r1);
      for (const machine of [r2, witness]) machine.put('etc/koi/nats.pass', r1.read('etc/koi/nats.pass'));
      r2.put('etc/koi/lan.key', r1.read('etc/koi/lan.key'));
      for (const machine of [r1, r2, witness]) await type(rights, machine);
      for (const machine of routers) {
        await type(imports.replace('--node r1', `--node ${machine.name}`), machine);
        const imported = machine.read('root/koi.yaml');
        expect(imported).toContain('arbitration: wire');
        machine.put(
          'root/koi.yaml',
          imported.replace(/^cluster:.*$/m, 'cluster: edge').replace(/^log:.*\n/m, logOf(machine)),
        );
      }
      start.next('3. Configure');
      await type(start.next('3. Configure'), witness);
      await type('systemctl enable --now koi-witness', witness);
      for (const line of linesOf(checks)) {
        // `systemctl enable --now` returns before the log's servers answer each other.
        if (line.startsWith('koi doctor')) await Promise.all(routers.map(untilDone(line)));
        for (const machine of routers) {
          const { code, said } = await machine.run(line);
          expect(code, `${machine.name}: ${line}\n${said}`).toBe(0);
          // What keepalived holds is named where it serves.
          if (machine === r1 && line.startsWith('koi ')) expect(said, line).toContain('10.77.0.254');
        }
      }
    });
  });

  it('one router at a time: the backup without loss, the master for no longer than its farewell', async () => {
    const block = migration.next(change);
    expect(migration.left.filter(({ language }) => language === 'sh')).toEqual([]);
    await withoutLoss('the backup becomes Koi', 0, async () => {
      const [status = '', ...changes] = linesOf(block).reverse();
      await type(changes.reverse().join('\n'), r2);
      // Its guard is shown as up with the first second's telling.
      const isBackup = async (): Promise<string | undefined> => {
        const { code, said } = await r2.run(status);
        return code === 0 && /^gw +51 .* backup /m.test(said) ? undefined : said;
      };
      await waitUntil('status to say backup', isBackup, { deadlineMs: 5_000, everyMs: 200 });
    });
    const seen = await watchedAt(site, routers, async () => {
      await r1.run(block);
      await waitUntil(
        'the pair',
        async () => {
          const found = await statesOf(routers).catch(String);
          return /^master \S+ \/ backup/.test(found) ? site.prober.answering(500) : found;
        },
        { deadlineMs: 60_000, everyMs: 50 },
      );
    });
    say(`the master becomes Koi: ${seen.lost} of ${seen.sent} probes lost, longest gap ${seen.gapMs.toFixed(0)} ms`);
    // keepalived's farewell and the skew of priority 100: 61 ms.
    expect(seen.gapMs).toBeLessThan(600);
    await withoutLoss('arbitration: log', 0, async () => {
      for (const machine of [r2, r1]) {
        machine.put(
          'etc/koi/koi.yaml',
          machine.read('etc/koi/koi.yaml').replace('arbitration: wire', 'arbitration: log'),
        );
        await type('koi reload', machine);
      }
      await isSettled(bothServe);
    });
  });

  it('is upgraded, and taken back', async () => {
    for (const [what, version] of [
      ['upgraded', nextVersion],
      ['taken back', '0.1.0'],
    ] as const) {
      const block = operations.next('Upgrade');
      await withoutLoss(what, 2, async () => {
        for (const machine of [r2, r1]) {
          await type(block, machine);
          await isSettled(bothServe);
        }
      });
      for (const machine of routers) expect(await machine.do('koi --version')).toContain(version);
    }
  });

  it('is drained, and takes part again', async () => {
    const [drain = '', undrain = ''] = linesOf(operations.next('Maintenance of a node'));
    await withoutLoss('drained and back', 2, async () => {
      await type(drain, r1);
      await isSettled('backup null / master logged');
      await type(undrain, r1);
      await isSettled(bothServe);
    });
  });

  it('has its log copied, loses every store, and gets the copy back on every server', async () => {
    const copy = operations.next('Backup of the log');
    await withoutLoss('the log copied', 0, async () => {
      await type(copy, r2);
      await connected();
    });
    for (const machine of [r1, witness]) machine.copy(r2.path('root/koi-log.tar.gz'), 'root/koi-log.tar.gz');
    // What happens after the copy, the nodes remember and the copies do not.
    await thereAndBack();
    const restore = operations.next('Backup of the log');
    await forgotten('every store lost', () =>
      everywhere('systemctl stop koi-log-server\nrm -rf /var/lib/koi/nats\nsystemctl start koi-log-server'),
    );
    await forgotten('the log restored from its copy', () => everywhere(restore));
    expect(await r1.do('koi timeline --since 1h')).toMatch(/gw/);
    const audit = await r1.run('koi audit');
    expect([audit.code, audit.said]).toEqual([1, expect.stringContaining('log_regressed')]);
  });

  it('begins a new log where the old one is gone', async () => {
    const block = operations.next('Disaster');
    await forgotten('the log begun anew', () => everywhere(block));
  });

  it('gets other keys', async () => {
    const lan = operations.next('Replace keys');
    const secret = operations.next('Replace keys');
    await r1.do('head -c 32 /dev/urandom | base64 > /etc/koi/lan.key');
    r2.put('etc/koi/lan.key', r1.read('etc/koi/lan.key'));
    await withoutLoss('another LAN key', 2, async () => {
      for (const machine of [r2, r1]) {
        await type(lan, machine);
        await isSettled(bothServe);
      }
    });
    await r1.do('head -c 24 /dev/urandom | base64 > /etc/koi/nats.pass');
    for (const machine of [r2, witness]) machine.put('etc/koi/nats.pass', r1.read('etc/koi/nats.pass'));
    await withoutLoss('another password of the log', 0, async () => {
      await Promise.all([type(secret, r1), type(secret, r2), type('systemctl restart koi-witness', witness)]);
      await connected();
      await isSettled(bothServe);
    });
  });

  it("loses a node, which leaves nothing but the log's memory of it", async () => {
    const block = operations.next('Remove a node');
    expect(operations.left).toEqual([]);
    await withoutLoss('a node removed', 1, async () => {
      await type(block, r1);
      await waitUntil('the other to serve', () => site.prober.answering(500), { deadlineMs: 10_000 });
    });
    const rest =
      'pgrep -a koi; pgrep -a nats-server; ls -d /etc/koi /var/lib/koi /run/koi 2>/dev/null; getent passwd koi';
    expect((await r1.run(rest)).said).toBe('');
    expect(await statesOf([r2])).toBe('master logged');
  });

  it('has a witness that is started by hand, as the page on the log has it', async () => {
    const line = shellBlocks(readFileSync(join(docs, 'log.md'), 'utf8'))
      .flatMap(linesOf)
      .find((each) => each.startsWith('koi witness '));
    await witness.do('systemctl stop koi-witness');
    // It needs no privilege; it ends when it is told to.
    const started = witness.do(`runuser -u koi -- timeout -s TERM 20 ${line} || [ $? = 124 ]`);
    await waitUntil(
      'the witness to be connected to by the other',
      async () => {
        const { said } = await r2.run('koi doctor');
        return /quorum: 2 of 3/.test(said) ? undefined : said;
      },
      { deadlineMs: 15_000, everyMs: 500 },
    );
    await started;
  });
});
