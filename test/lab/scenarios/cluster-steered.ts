import { logNames } from '../../../src/log/subjects.js';
import { nowMs } from '../clock.js';
import { type Daemon, signal } from '../daemon.js';
import { run } from '../ip.js';
import type { Lab } from '../lab.js';
import { clusterName } from '../overseer.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { clusterEmbedded } from '../setup.js';
import { waitUntil } from '../wait.js';

/** What challenge, claim, attaching and announcing take on a busy machine. */
const marginMs = 100;
/** A move of a stream a minute, no move within 10 s of a change, a look every 5 s. */
const steeredDeadlineMs = 90_000;

/**
 * The log runs on the routers themselves, beside a witness. Its leader is put onto the master, whose agent has to move
 * it away; then the master's machine dies: the daemons, the server, the cables, all at once.
 */
export const masterMachineLost: Scenario = {
  name: 'cluster-steered',
  title: 'the leader steered away, then the machine dies',
  setup: clusterEmbedded,
  vip: 'moves',
  koiOnly: true,
  onDemand: true,
  narrates: true,
  promise:
    'the stream’s leader does not stay on the master; so the log survives its machine, and answers the claim that follows 3 lost adverts',
  bound: ({ advertIntervalMs }) => ({
    outageMs: 3 * advertIntervalMs + marginMs,
    oneOwnerMs: 3 * advertIntervalMs + marginMs,
    severalMs: 0,
  }),
  begin: async (lab, master) => {
    const { name } = master.router;
    const story = [await steeredAway(lab, name)];
    const before = await leaders(lab);
    const pids = master.allPids();
    let diedMs = 0;
    return {
      inject: async () => {
        diedMs = signal(pids, 'SIGKILL');
        await Promise.all([lab.topology.cutLan(master.router), lab.topology.silenceManagement(master.router)]);
        forgetAddresses(master);
      },
      observe: async () => {
        story.push(await logged(lab.master(), () => nowMs() - diedMs));
        const after = await leaders(lab);
        const detail = `${before.join(' and ')} before, ${after.join(' and ')} after`;
        story.push(check('the streams keep their leaders', after.join() === before.join(), detail));
      },
      checks: () => story,
    };
  },
};

/** Who leads the events and the leases; empty where nobody does. */
async function leaders(lab: Lab): Promise<string[]> {
  const { stream, leaseStream } = logNames(clusterName);
  const { overseer } = lab.log;
  return [(await overseer.leader(stream)) ?? '', (await overseer.leader(leaseStream)) ?? ''];
}

async function steeredAway(lab: Lab, master: string): Promise<Check> {
  const name = 'the leader is moved away from the master';
  try {
    await lab.log.moveLeader(master);
    let found: string[] = [];
    const tookMs = await waitUntil(
      name,
      async () => {
        found = await leaders(lab);
        return found.includes('') || found.includes(master) ? `${found.join(' and ')} lead` : undefined;
      },
      { deadlineMs: steeredDeadlineMs, everyMs: 200 },
    );
    return check(name, true, `${master} led; after ${(tookMs / 1000).toFixed(1)} s ${found.join(' and ')} do`);
  } catch (error) {
    return check(name, false, String(error));
  }
}

/** The dead machine's namespace outlives it here, and with it what its kernel had. */
function forgetAddresses({ router: { netns } }: Daemon): void {
  const links = JSON.parse(run('ip', ['-n', netns, '-j', 'link', 'show', 'type', 'macvlan'])) as { ifname: string }[];
  for (const { ifname } of links) run('ip', ['-n', netns, 'link', 'del', ifname]);
}

/** The new master's claim is in the log: it did not have to take over without its word. */
async function logged(successor: Daemon, elapsedMs: () => number): Promise<Check> {
  const name = 'the log has the new ownership';
  const view = await successor.view();
  const detail = `${successor.router.name} is ${view?.state}, ${view?.logged === true ? 'logged' : 'provisional'}`;
  return check(name, view?.logged === true, `${detail}, ${(elapsedMs() / 1000).toFixed(1)} s after the death`);
}
