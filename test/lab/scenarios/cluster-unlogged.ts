import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { clusterHolding, clusterReleasing, leaseMs } from '../setup.js';
import { observeFor, waitUntil } from '../wait.js';
import { rejoined } from './rejoined.js';

/** What taking an address off may take on a busy machine. */
const marginMs = 100;
/** An election inside NATS, the client's next attempt, and a claim. */
const backDeadlineMs = 20_000;

/** Longer than a backup waits for a master that fell silent, and for the log's word. */
const patienceMs = ({ timing }: Lab): number => 6 * timing.advertIntervalMs + timing.skewMs;

const withoutLog = {
  vip: 'appears',
  koiOnly: true,
  onDemand: true,
  narrates: true,
  bound: () => ({ severalMs: 0 }),
} as const;

/** The log is gone, then the master's cable: the log alone may say who is next. */
export const logLostHolding: Scenario = {
  ...withoutLog,
  name: 'cluster-log-lost-hold',
  title: 'onLogLoss: hold; the log dies, then the master’s cable',
  setup: clusterHolding,
  promise:
    'the master serves on past its lease; once its cable is out nobody takes over without the log, and the backup claims when that is back',
  begin: (lab, master) => {
    const story: Check[] = [];
    return {
      inject: async () => {
        await lab.log.kill();
        await observeFor(leaseMs + patienceMs(lab));
        story.push(holds(lab, 'the master serves on without the log', master));
        await lab.topology.cutLan(master.router);
        await observeFor(patienceMs(lab));
        story.push(holds(lab, 'nobody takes over without the log'));
        story.push(await taken(lab));
      },
      checks: ({ ownership }) => [
        ...story,
        check('the backup has it', ownership.owners.join() !== master.router.name, ownership.owners.join(' and ')),
      ],
    };
  },
};

/** The log is gone: who holds lets go when the lease is over, and nobody takes over. */
export const logLostReleasing: Scenario = {
  ...withoutLog,
  name: 'cluster-log-lost-release',
  title: 'onLogLoss: release; the log dies',
  setup: clusterReleasing,
  promise:
    'the master lets go no later than a lease after the log went away, nobody takes over without it, and one claims when it is back',
  begin: (lab, master) => {
    const story: Check[] = [];
    return {
      inject: async () => {
        await lab.log.kill();
        await observeFor(leaseMs + marginMs);
        story.push(holds(lab, `nobody holds it ${leaseMs + marginMs} ms after the log`));
        await observeFor(patienceMs(lab));
        story.push(holds(lab, 'nobody takes over without the log'));
        story.push(await taken(lab));
      },
      observe: async () => void story.push(await rejoined(lab, lab.master())),
      checks: ({ fromMs, untilMs }) => {
        const [before, after] = lab.owners.history(fromMs, untilMs);
        const detail = after === undefined ? 'never' : `${(after.afterMs / 1000).toFixed(2)} s after the log`;
        return [...story, check('the master has let go', before?.owners.join() === master.router.name, detail)];
      },
    };
  },
};

/** Whether this very node holds the VIP, or none does. */
function holds(lab: Lab, name: string, owner?: Daemon): Check {
  const owners = lab.owners.now().join(' and ');
  return check(name, owners === (owner?.router.name ?? ''), `${owners || 'nobody'} holds the VIP`);
}

/** Brings the log back, and waits until the VIP is held. */
async function taken(lab: Lab): Promise<Check> {
  const name = 'one claims once the log is back';
  try {
    await lab.log.start();
    const tookMs = await waitUntil(name, () => (lab.owners.now().length === 1 ? undefined : 'nobody holds the VIP'), {
      deadlineMs: backDeadlineMs,
    });
    return check(name, true, `${lab.owners.now().join()} after ${(tookMs / 1000).toFixed(1)} s`);
  } catch (error) {
    return check(name, false, String(error));
  }
}
