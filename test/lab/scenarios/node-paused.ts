import { nowMs } from '../clock.js';
import { signal } from '../daemon.js';
import { check, type Scenario } from '../scenario.js';
import { cluster } from '../setup.js';
import { observeFor, waitUntil } from '../wait.js';

/** The addresses' lifetime in the kernel, and how late it looks: what ends an ownership that nobody is left to end. */
const lifetimeMs = 3_250;
const pauseMs = 10_000;
/** What attaching and announcing take on a busy machine. */
const marginMs = 100;

/** Every process of Koi stands still on the master, guard included, and wakes after ten seconds, believing nothing. */
export const pauseNode: Scenario = {
  name: 'cluster-pause-node',
  onDemand: true,
  title: 'the master’s Koi stands still for 10 s',
  setup: cluster,
  vip: 'moves',
  koiOnly: true,
  narrates: true,
  promise:
    'the backup takes over after 3 adverts and an unanswered challenge; the kernel lets the old addresses run out after 3.25 s at most; who wakes says nothing',
  bound: ({ advertIntervalMs }) => ({
    outageMs: 3 * advertIntervalMs + marginMs,
    oneOwnerMs: lifetimeMs + marginMs,
    severalMs: Math.max(0, lifetimeMs - 2 * advertIntervalMs) + marginMs,
  }),
  begin: (lab, master) => {
    const pids = master.allPids();
    let pausedMs = 0;
    let wokeMs = 0;
    return {
      inject: () => {
        pausedMs = signal(pids, 'SIGSTOP');
      },
      observe: async () => {
        await waitUntil('the time to wake', () => (nowMs() - pausedMs < pauseMs ? 'not yet' : undefined), {
          deadlineMs: pauseMs + 1_000,
        });
        wokeMs = signal([...pids].reverse(), 'SIGCONT');
        await observeFor(3 * lab.timing.advertIntervalMs);
      },
      checks: () => {
        const frames = lab.recorder.spokenBy(master.router.name, wokeMs);
        const [first] = frames;
        const detail =
          first === undefined
            ? 'nothing'
            : `${frames.length} frames, the first (${first.kind}) ${(first.atMs - wokeMs).toFixed(0)} ms after waking`;
        return [check('who wakes does not speak as a master', frames.length === 0, detail)];
      },
      restore: () => void signal(pids, 'SIGCONT'),
    };
  },
};
