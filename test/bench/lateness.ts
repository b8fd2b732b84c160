import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nowMs } from '../lab/clock.js';
import { signal } from '../lab/daemon.js';
import type { Lab } from '../lab/lab.js';
import type { Implementation } from '../lab/options.js';
import { loaded } from '../lab/setup.js';
import { observeFor } from '../lab/wait.js';
import { attempt, type Bench, compared, withLab } from './bench-lab.js';
import type { Note } from './figures.js';
import { Gaps } from './gaps.js';
import type { Disturbed } from './options.js';

const intervalMs = 10;
const settleMs = 2_000;
const scrapeEveryMs = 10;
const agentBusyMs = 500;
const busyOnSignal = fileURLToPath(new URL('./busy-on-signal.cjs', import.meta.url));

/** What goes on while the adverts are watched; ends when it is told to. */
interface Disturbance {
  readonly name: Disturbed;
  readonly title: string;
  readonly koiOnly: boolean;
  begin(lab: Lab): () => void;
}

const disturbances: readonly Disturbance[] = [
  { name: 'nothing', title: 'idle', koiOnly: false, begin: () => () => undefined },
  { name: 'busy', title: 'two busy loops', koiOnly: false, begin: keepBusy },
  { name: 'scrapes', title: '100 scrapes/s', koiOnly: true, begin: scrape },
  { name: 'agent', title: `agent busy for ${agentBusyMs} ms`, koiOnly: true, begin: occupyAgents },
];

/** How late the master's adverts are, of virtual routers with 100 a second each, as the wire shows it. */
export async function lateness(options: Bench, note: Note): Promise<void> {
  const { of, watched } = options;
  for (const implementation of compared(of, { advertIntervalMs: intervalMs, virtualRouters: watched })) {
    await attempt(`lateness of ${implementation}`, () => latenessOf(implementation, options, note));
  }
}

async function latenessOf(
  implementation: Implementation,
  { rounds, watchMs, watched, during, program }: Bench,
  note: Note,
): Promise<void> {
  const options = { program, nodeOptions: `--require ${busyOnSignal}` };
  await withLab(implementation, loaded(watched), intervalMs, options, async (lab) => {
    const gaps = new Gaps(lab.topology, intervalMs);
    try {
      await gaps.ready();
      await lab.startFirst();
      await lab.makeWhole();
      await observeFor(settleMs);
      for (let round = 1; round <= rounds; round++) {
        for (const disturbance of disturbances) {
          if (during !== undefined && during !== disturbance.name) continue;
          if (disturbance.koiOnly && implementation !== 'koi') continue;
          await watch(lab, gaps, disturbance, watchMs, (what, unit, value) =>
            note(
              implementation,
              `lateness of adverts, ${watched} virtual routers, ${disturbance.title}: ${what}`,
              unit,
              value,
            ),
          );
        }
      }
    } finally {
      gaps.end();
    }
  });
}

async function watch(
  lab: Lab,
  gaps: Gaps,
  disturbance: Disturbance,
  watchMs: number,
  note: (what: string, unit: 'ms' | '', value: number | undefined) => void,
): Promise<void> {
  const master = lab.master().router.name;
  const fromMs = nowMs();
  await gaps.report(lab.daemons.length);
  const end = disturbance.begin(lab);
  try {
    await observeFor(watchMs);
  } finally {
    end();
  }
  const late = (await gaps.report(lab.daemons.length)).get(master);
  note('p50', 'ms', late?.p50Ms);
  note('p99', 'ms', late?.p99Ms);
  note('p99.9', 'ms', late?.p999Ms);
  note('worst', 'ms', late?.worstMs);
  // Renewals of an address are no moves.
  const hasMoved = (address: string): boolean => lab.owners.history(fromMs, nowMs(), address).length > 1;
  note('addresses that moved', '', lab.setup.virtualRouters.filter(({ address }) => hasMoved(address)).length);
}

function keepBusy(): () => void {
  const loops: ChildProcess[] = [1, 2].map(() => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
  return () => {
    for (const loop of loops) loop.kill('SIGKILL');
  };
}

function scrape(lab: Lab): () => void {
  const timer = setInterval(() => {
    for (const daemon of lab.daemons) void daemon.metric('koi_vr_state');
  }, scrapeEveryMs);
  return () => clearInterval(timer);
}

/** Each time the agents have got over it, once more. */
function occupyAgents(lab: Lab): () => void {
  const occupy = (): void => {
    for (const daemon of lab.daemons) signal(daemon.pids('agent'), 'SIGUSR2');
  };
  occupy();
  const timer = setInterval(occupy, 4 * agentBusyMs);
  return () => clearInterval(timer);
}
