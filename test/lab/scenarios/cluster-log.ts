import { signal } from '../daemon.js';
import type { Lab } from '../lab.js';
import type { LogServer } from '../log-server.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { cluster } from '../setup.js';
import { observeFor, waitUntil } from '../wait.js';
import { advertsGoOn } from './adverts-go-on.js';
import { arbitrationTimeoutMs, rejoined } from './rejoined.js';

/** What the take-over itself may add to what the rules make everyone wait. */
const marginMs = 100;
/** An election inside NATS takes 4 to 9 s from the last heartbeat, one a second. */
const electionDeadlineMs = 12_000;

const undisturbed = { vip: 'stays', koiOnly: true, setup: cluster, narrates: true } as const;

/** The server that leads the stream dies: no append is possible until the others have elected another. */
export const killStreamLeader: Scenario = {
  ...undisturbed,
  name: 'cluster-kill-leader',
  onDemand: true,
  title: "three servers: the stream's leader dies",
  promise: 'the log is away for an election inside NATS; the master serves on (onLogLoss: wire), no probe is lost',
  bound: () => ({ lost: 0, severalMs: 0 }),
  begin: async (lab, master) => {
    const leader = await lab.log.leader();
    const story: Check[] = [];
    return {
      inject: () => leader.kill(),
      observe: async () => {
        story.push(await elected(lab, leader));
        await lab.log.start();
        story.push(await rejoined(lab, master));
      },
      checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
    };
  },
};

/** The leader dies, and within the election the master loses its cable: the log is silent just when it is needed. */
export const killStreamLeaderAndCable: Scenario = {
  name: 'cluster-kill-leader-carrier',
  onDemand: true,
  title: "the stream's leader dies, then carrier lost",
  setup: cluster,
  vip: 'moves',
  koiOnly: true,
  promise:
    'a takeover never waits longer for the log than arbitrationTimeout: 3 adverts, skew, 50 ms, and what attaching takes',
  bound: ({ advertIntervalMs, skewMs }) => ({
    outageMs: 3 * advertIntervalMs + skewMs + arbitrationTimeoutMs + marginMs,
    severalMs: marginMs,
  }),
  begin: async (lab, master) => {
    const leader = await lab.log.leader();
    return {
      inject: async () => {
        await leader.kill();
        await lab.topology.cutLan(master.router);
      },
    };
  },
};

/** Two of three servers die: no quorum, for as long as it lasts. */
export const killTwoServers: Scenario = {
  ...undisturbed,
  name: 'cluster-kill-two',
  onDemand: true,
  title: 'two of three servers die and come back',
  promise:
    'no quorum, no log; the master serves on (onLogLoss: wire), no probe is lost, and it keeps the VIP afterwards',
  bound: () => ({ lost: 0, severalMs: 0 }),
  begin: async (lab, master) => {
    const two = await leaderAndAnother(lab);
    const story: Check[] = [];
    return {
      inject: () => killAll(two),
      observe: async () => {
        // Longer than a backup would wait for a master that fell silent.
        await observeFor(4 * lab.timing.advertIntervalMs);
        await lab.log.start();
        story.push(await rejoined(lab, master));
      },
      checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
    };
  },
};

/** Two of three servers are dead, then the master's dataplane dies: the wire's rules move the VIP, once. */
export const killTwoServersAndDataplane: Scenario = {
  name: 'cluster-kill-two-dataplane',
  onDemand: true,
  title: 'two of three are dead, the dataplane dies',
  setup: cluster,
  vip: 'moves',
  koiOnly: true,
  narrates: true,
  promise:
    "without a quorum the backup waits the protocol's skew after priority 0, and arbitrationTimeout; once the log is back it has the new ownership",
  bound: ({ skewMs }) => ({
    outageMs: skewMs + arbitrationTimeoutMs + marginMs,
    oneOwnerMs: skewMs + arbitrationTimeoutMs + marginMs,
  }),
  begin: async (lab, master) => {
    await killAll(await leaderAndAnother(lab));
    await observeFor(500);
    const pids = master.pids('dataplane');
    const story: Check[] = [];
    return {
      inject: () => void signal(pids, 'SIGKILL'),
      observe: async () => {
        const successor = lab.master();
        await lab.log.start();
        story.push(await rejoined(lab, successor));
      },
      checks: () => story,
    };
  },
};

/** The master's management network falls silent: it cannot reach the log, and the log's servers not it. */
export const cutManagement: Scenario = {
  ...undisturbed,
  name: 'cluster-cut-management',
  onDemand: true,
  title: "the master's management network is cut",
  promise: 'the adverts still say that the master lives: nobody claims although its lease runs out; no probe is lost',
  bound: () => ({ lost: 0, severalMs: 0 }),
  begin: (lab, master) => {
    const story: Check[] = [];
    return {
      inject: () => lab.topology.silenceManagement(master.router),
      observe: async () => {
        // Longer than the lease (4 s) and than the client needs to find its connection dead (3 s).
        await observeFor(7_000);
        const view = await master.view();
        story.push(check('the master knows', view?.logConnected === false, `log connected: ${view?.logConnected}`));
        await lab.topology.mendManagement(master.router);
        story.push(await rejoined(lab, master));
      },
      checks: ({ fromMs, untilMs }) => [...story, advertsGoOn(lab, master, fromMs, untilMs)],
    };
  },
};

/** Waits for another leader than the dead one. */
async function elected(lab: Lab, dead: LogServer): Promise<Check> {
  const name = 'the log has another leader';
  try {
    let leader = '';
    const tookMs = await waitUntil(
      name,
      async () => {
        leader = (await lab.log.overseer.leader()) ?? '';
        return leader !== '' && leader !== dead.host.name ? undefined : 'the stream has none yet';
      },
      { deadlineMs: electionDeadlineMs, everyMs: 50 },
    );
    return check(name, true, `${leader} after ${(tookMs / 1000).toFixed(1)} s, it was ${dead.host.name}`);
  } catch (error) {
    return check(name, false, String(error));
  }
}

async function leaderAndAnother(lab: Lab): Promise<LogServer[]> {
  const leader = await lab.log.leader();
  return [leader, ...lab.log.servers.filter((server) => server !== leader).slice(0, 1)];
}

async function killAll(servers: readonly LogServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.kill()));
}
