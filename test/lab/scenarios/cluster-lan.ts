import { nowMs } from '../clock.js';
import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { cluster } from '../setup.js';
import { observeFor, waitUntil } from '../wait.js';
import { advertsGoOn } from './adverts-go-on.js';
import { rejoined } from './rejoined.js';
import { episode, leftMastership, SplitBrainWatch } from './told.js';

/** What a reaction to a first advert may take on a machine as busy as the lab's. */
const reactionMs = 100;

/** Cuts nothing but the way between the routers' adverts, and mends it: the master must keep the VIP all along. */
function pathSplit(how: {
  readonly name: string;
  readonly title: string;
  readonly promise: string;
  readonly cut: (lab: Lab) => Promise<void>;
}): Scenario {
  const { name, title, promise, cut } = how;
  return {
    ...{ name, title, promise, vip: 'stays', koiOnly: true, setup: cluster, onDemand: true, narrates: true },
    bound: () => ({ lost: 0, severalMs: 0 }),
    begin: (lab, master) => {
      const backup = otherThan(lab, master);
      const story: Check[] = [];
      return {
        inject: () => cut(lab),
        observe: async () => {
          const since = new Date(Date.now() - 100);
          // Twice as long as a backup waits for a master that fell silent.
          await observeFor(6 * lab.timing.advertIntervalMs + lab.timing.skewMs);
          story.push(await episode(backup, since, 'begins', 'advert_path_lost'));
          await lab.topology.joinLan();
          story.push(await episode(backup, since, 'ends', 'advert_path_lost'));
          await observeFor(lab.timing.advertIntervalMs);
        },
        checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
      };
    },
  };
}

/** Both routers reach the client and the log, but not each other. */
export const lanBetweenRoutersCut = pathSplit({
  name: 'cluster-lan-split',
  title: 'the LAN between the routers is cut',
  promise:
    'the challenged master says that its LAN works: it keeps the VIP (onPathSplit: hold), advert_path_lost is raised',
  cut: (lab) => lab.topology.splitLan(),
});

/** The switch no longer floods multicast to the routers: only adverts are lost. */
export const multicastLost: Scenario = pathSplit({
  name: 'cluster-multicast-lost',
  title: 'the switch stops flooding multicast',
  promise:
    "the challenged master's probe comes through, its adverts do not: it keeps the VIP, advert_path_lost is raised",
  cut: (lab) => lab.topology.dropMulticast(),
});

/** LAN and management network fail together: two owners are a matter of physics, and end with the first of the two. */
function bothCut(how: {
  readonly name: string;
  readonly title: string;
  readonly promise: string;
  readonly unreachable: (master: Daemon, backup: Daemon) => Daemon;
  readonly keeps: 'master' | 'backup';
}): Scenario {
  const { name, title, promise, unreachable, keeps } = how;
  return {
    ...{ name, title, promise, vip: 'appears', koiOnly: true, setup: cluster, onDemand: true, narrates: true },
    bound: () => ({}),
    begin: async (lab, master) => {
      const backup = otherThan(lab, master);
      const splitBrain = await SplitBrainWatch.begin(lab);
      const winner = keeps === 'master' ? master : backup;
      const loser = winner === master ? backup : master;
      const story: Check[] = [];
      return {
        inject: async () => {
          await Promise.all([
            lab.topology.splitLan(),
            lab.topology.silenceManagement(unreachable(master, backup).router),
          ]);
        },
        observe: async () => {
          const since = new Date();
          await waitUntil('both to hold the VIP', () => (lab.owners.now().length === 2 ? undefined : 'one holds it'), {
            deadlineMs: 4 * lab.timing.advertIntervalMs + 3_000,
          });
          await observeFor(2 * lab.timing.advertIntervalMs);
          const mendedMs = nowMs();
          await lab.topology.joinLan();
          // Not until one has gone: as soon as they hear each other, or the log, they must.
          await waitUntil('one owner', () => (lab.owners.now().length === 1 ? undefined : 'both hold the VIP'), {
            deadlineMs: 5_000,
            everyMs: 5,
          });
          await observeFor(1_000);
          story.push(await healed(lab, winner, mendedMs));
          await lab.topology.mendManagement(unreachable(master, backup).router);
          story.push(await rejoined(lab, winner));
          story.push(await leftMastership(winner, loser, since));
          story.push(...(await splitBrain.end(winner)));
        },
        checks: () => story,
      };
    },
  };
}

export const bothCutFromMaster = bothCut({
  name: 'cluster-both-cut',
  title: 'LAN and the master’s management are cut',
  promise:
    'two owners while nothing joins them; the LAN mended, the superseded term goes within one advert interval, and the log tells of both, and that they were two',
  unreachable: (master) => master,
  keeps: 'backup',
});

export const bothCutFromBackup = bothCut({
  name: 'cluster-both-cut-backup',
  title: 'LAN and the backup’s management are cut',
  promise:
    'two owners while nothing joins them; the LAN mended, the provisional one goes before the logged one within one advert interval, and the log tells of both, and that they were two',
  unreachable: (_master, backup) => backup,
  keeps: 'master',
});

async function healed(lab: Lab, winner: Daemon, mendedMs: number): Promise<Check> {
  const untilMs = nowMs();
  const { oneOwnerAfterMs, owners } = lab.owners.judge(mendedMs, untilMs);
  const client = await lab.prober.judge(mendedMs, untilMs);
  const boundMs = lab.timing.advertIntervalMs + reactionMs;
  const name = `one owner within ${boundMs} ms of the mended LAN, ${winner.router.name}`;
  const ok = owners.join() === winner.router.name && oneOwnerAfterMs !== undefined && oneOwnerAfterMs <= boundMs;
  const when = oneOwnerAfterMs === undefined ? 'never' : `after ${oneOwnerAfterMs.toFixed(1)} ms`;
  return check(name, ok, `${owners.join(' and ')} ${when}; the client lost ${client.lost} probes meanwhile`);
}

function otherThan(lab: Lab, master: Daemon): Daemon {
  const backup = lab.daemons.find((daemon) => daemon !== master);
  if (backup === undefined) throw new Error('there is only one router');
  return backup;
}
