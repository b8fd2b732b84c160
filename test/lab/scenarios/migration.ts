import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nowMs } from '../clock.js';
import { type Daemon, signal } from '../daemon.js';
import { run } from '../ip.js';
import { keepalivedDaemon } from '../keepalived.js';
import { type Lab, outputDirectory } from '../lab.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { waitUntil } from '../wait.js';

const settleDeadlineMs = 15_000;
/** What the loss of the master's address and the take-over itself may add to the skew. */
const marginMs = 100;

/**
 * A keepalived pair that carries pings becomes a Koi pair, one router at a time, the backup first. Each router is two
 * steps: keepalived leaves it, Koi starts on it. Only the step in which the master leaves may be felt.
 */
export const migration: Scenario = {
  name: 'migration',
  title: 'a keepalived pair becomes a Koi pair',
  vip: 'appears',
  koiOnly: true,
  bound: ({ skewMs }) => ({ outageMs: skewMs + marginMs }),
  begin: async (lab) => {
    const pair = new KeepalivedPair(lab);
    await Promise.all(lab.daemons.map((daemon) => daemon.stop(10_000)));
    await pair.start();
    const master = lab.owners.now()[0];
    const backupFirst = [...lab.daemons].sort(
      (a, b) => Number(a.router.name === master) - Number(b.router.name === master),
    );
    let steps: Check[] = [];
    return {
      inject: async () => {
        steps = await migrate(lab, pair, backupFirst);
      },
      checks: () => steps,
      restore: () => pair.remove(),
    };
  },
  narrates: true,
};

async function migrate(lab: Lab, pair: KeepalivedPair, order: readonly Daemon[]): Promise<Check[]> {
  const steps: Check[] = [];
  const boundMs = lab.timing.skewMs + marginMs;
  try {
    for (const koi of order) {
      const { name } = koi.router;
      const isMaster = lab.owners.now()[0] === name;
      const left = `${name}: keepalived leaves, ${isMaster ? 'as the master' : 'a backup'}`;
      steps.push(
        await measured(lab, left, isMaster ? boundMs : 0, async () => {
          await pair.stop(name);
          await waitUntil(left, () => (lab.owners.now().includes(name) ? `${name} serves still` : undefined), {
            deadlineMs: settleDeadlineMs,
          });
        }),
      );
      const joined = `${name}: koi starts, a backup`;
      steps.push(
        await measured(lab, joined, 0, async () => {
          koi.start();
          await waitUntil(joined, () => koi.notReady({ owner: false, logRunning: true }), {
            deadlineMs: settleDeadlineMs,
            everyMs: 50,
          });
        }),
      );
    }
  } catch (error) {
    steps.push(check('the migration', false, error instanceof Error ? error.message : String(error)));
  }
  return steps;
}

/** Takes a step, waits until one router serves and the client is answered again, and says what the client felt. */
async function measured(lab: Lab, name: string, boundMs: number, step: () => Promise<void>): Promise<Check> {
  const fromMs = nowMs();
  await step();
  const steadyFromMs = nowMs();
  await waitUntil(
    name,
    () => {
      const owners = lab.owners.now();
      if (owners.length !== 1) return `the VIP is held by ${owners.join(' and ') || 'nobody'}`;
      return nowMs() - steadyFromMs < 250 ? 'it is too early to tell' : lab.prober.answering(200);
    },
    { deadlineMs: settleDeadlineMs },
  );
  const { outageMs, lost } = await lab.prober.judge(fromMs, nowMs());
  const [owner] = lab.owners.now();
  const felt = `outage ${outageMs.toFixed(1)} ms, ${lost} probes lost`;
  return check(name, lost === 0 || outageMs <= boundMs, `${felt}; the VIP is at ${owner}`);
}

/** keepalived on the lab's routers, as an operator who plans to migrate would have it. */
class KeepalivedPair {
  readonly #lab: Lab;
  readonly #directory = mkdtempSync(join(tmpdir(), `koi-lab-${process.pid}-migration-`));
  readonly #daemons: ReadonlyMap<string, Daemon>;
  readonly #announceBefore = new Map<string, string>();

  constructor(lab: Lab) {
    this.#lab = lab;
    this.#daemons = new Map(
      lab.daemons.map(({ router }, index) => [
        router.name,
        keepalivedDaemon({
          virtualRouters: lab.setup.virtualRouters,
          router,
          priority: 200 - 50 * index,
          advertIntervalMs: lab.timing.advertIntervalMs,
          directory: this.#directory,
          logFile: join(outputDirectory, 'last', `${router.name}-keepalived.log`),
        }),
      ]),
    );
  }

  async start(): Promise<void> {
    for (const daemon of this.#daemons.values()) {
      this.#announceBefore.set(daemon.router.name, announceLevel(daemon.router.netns));
      // Otherwise its first question for a client carries the VIP with the parent's MAC, and the client believes it.
      announceLevel(daemon.router.netns, '2');
      daemon.start();
    }
    await waitUntil(
      'the keepalived pair',
      async () => {
        const owners = this.#lab.owners.now();
        if (owners.length !== 1) return `the VIP is held by ${owners.join(' and ') || 'nobody'}`;
        for (const daemon of this.#daemons.values()) {
          const reason = await daemon.notReady({ owner: daemon.router.name === owners[0], logRunning: false });
          if (reason !== undefined) return reason;
        }
        return this.#lab.prober.answering(300);
      },
      { deadlineMs: settleDeadlineMs },
    );
  }

  async stop(name: string): Promise<void> {
    const daemon = this.#daemons.get(name);
    if (daemon === undefined) throw new Error(`there is no keepalived on ${name}`);
    await daemon.stop(10_000);
    announceLevel(daemon.router.netns, this.#announceBefore.get(name));
  }

  /** Ends what still runs, where a step failed. */
  remove(): void {
    for (const daemon of this.#daemons.values()) {
      if (daemon.running) signal(daemon.allPids(), 'SIGKILL');
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Reads, or sets, `arp_announce` of a router's LAN interface. */
function announceLevel(netns: string, level?: string): string {
  const file = '/proc/sys/net/ipv4/conf/eth1/arp_announce';
  const command = level === undefined ? `cat ${file}` : `echo ${level} > ${file}`;
  return run('ip', ['netns', 'exec', netns, 'sh', '-c', command]).trim();
}
