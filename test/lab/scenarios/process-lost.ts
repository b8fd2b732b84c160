import { nowMs } from '../clock.js';
import { type Daemon, type Role, signal } from '../daemon.js';
import { check, type Scenario } from '../scenario.js';
import { observeFor, waitUntil } from '../wait.js';
import { advertsGoOn } from './adverts-go-on.js';

/** The addresses' lifetime in the kernel: what ends an ownership that nobody is left to end. */
const lifetimeMs = 4_000;
/** Within this time a frozen dataplane is fenced. */
const fencedWithinMs = 500;
const thawAfterMs = 2_000;

/** The process that touches the network dies; the guard must free the VIP. */
export const killDataplane: Scenario = {
  name: 'kill-dataplane',
  title: 'SIGKILL of the dataplane',
  vip: 'moves',
  bound: () => ({ outageMs: 100, oneOwnerMs: 100 }),
  begin: (_lab, master) => {
    const pids = pidsOf(master, 'dataplane');
    return { inject: () => void signal(pids, 'SIGKILL') };
  },
};

/** Everything of Koi dies at once, guard included: only the kernel is left to let the addresses run out. */
export const killEverything: Scenario = {
  name: 'kill-everything',
  title: 'SIGKILL of every process',
  vip: 'moves',
  bound: ({ advertIntervalMs }) => ({ outageMs: 3 * advertIntervalMs + 100, oneOwnerMs: lifetimeMs }),
  begin: (_lab, master) => {
    const pids = master.allPids();
    return { inject: () => void signal(pids, 'SIGKILL') };
  },
};

/** The dataplane freezes and, two seconds later, thaws: by then it must have nothing left to say. */
export const freezeDataplane: Scenario = {
  name: 'freeze-dataplane',
  title: 'SIGSTOP of the dataplane',
  vip: 'moves',
  bound: () => ({ outageMs: 500, oneOwnerMs: 500 }),
  begin: (lab, master) => {
    const pids = pidsOf(master, 'dataplane');
    let frozenMs = 0;
    return {
      inject: () => {
        frozenMs = signal(pids, 'SIGSTOP');
      },
      observe: async () => {
        await waitUntil('the time to thaw', () => (nowMs() - frozenMs < thawAfterMs ? 'not yet' : undefined), {
          deadlineMs: thawAfterMs + 1_000,
        });
        signal(pids, 'SIGCONT');
        await observeFor(1_000);
      },
      checks: () => {
        const frames = lab.recorder.spokenBy(master.router.name, frozenMs + fencedWithinMs);
        const first = frames[0];
        const detail =
          first === undefined
            ? ''
            : `${frames.length} frames, the first (${first.kind}) after ${(first.atMs - frozenMs).toFixed(0)} ms`;
        return [check('the frozen process never speaks again', frames.length === 0, detail)];
      },
      // Where nobody killed it, it has to go before the next run.
      restore: () => void signal(pids, 'SIGCONT'),
    };
  },
};

/** The agent dies. Nobody on the LAN may notice, and its successor takes up the same term. */
export const killAgent: Scenario = {
  name: 'kill-agent',
  title: 'SIGKILL of the agent',
  vip: 'stays',
  koiOnly: true,
  bound: () => ({ lost: 0 }),
  begin: async (lab, master) => {
    const pids = pidsOf(master, 'agent');
    const before = await master.view();
    if (before?.term === undefined) throw new Error(`${master.router.name} does not say its term`);
    const rejoined = 'the agent rejoins with the same term';
    let rejoinedAfter = 'it was never observed';
    return {
      inject: () => void signal(pids, 'SIGKILL'),
      observe: async () => {
        try {
          const tookMs = await waitUntil(
            rejoined,
            async () => {
              if (master.pids('agent').some((pid) => pids.includes(pid))) return 'it has not ended yet';
              const view = await master.view();
              if (view === undefined) return 'it does not answer yet';
              if (view.state !== 'master') return `it says ${view.state}`;
              if (view.logConnected !== true) return 'it has no connection to the log';
              return view.term === before.term ? undefined : `its term is ${view.term}, it was ${before.term}`;
            },
            { deadlineMs: 10_000, everyMs: 50 },
          );
          rejoinedAfter = `${tookMs.toFixed(0)} ms`;
        } catch (error) {
          rejoinedAfter = String(error);
        }
        await observeFor(3 * lab.timing.advertIntervalMs);
      },
      checks: ({ fromMs, untilMs }) => {
        return [
          check(rejoined, rejoinedAfter.endsWith(' ms'), rejoinedAfter),
          advertsGoOn(lab, master, fromMs, untilMs),
        ];
      },
    };
  },
};

function pidsOf(daemon: Daemon, role: Role): number[] {
  const pids = daemon.pids(role);
  if (pids.length === 0) throw new Error(`${daemon.router.name} has no ${role} process`);
  return pids;
}
