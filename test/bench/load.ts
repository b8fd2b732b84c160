import { nowMs } from '../lab/clock.js';
import type { Daemon } from '../lab/daemon.js';
import type { KoiProgram } from '../lab/koi.js';
import type { Lab } from '../lab/lab.js';
import type { Implementation } from '../lab/options.js';
import { loaded } from '../lab/setup.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { attempt, type Bench, compared, withLab } from './bench-lab.js';
import { costOf } from './cost.js';
import type { Note, Unit } from './figures.js';

/**
 * Whoever has just begun is not at rest once all is whole: Koi's agents still write to the log what they saw, and keepalived
 * still settles. After a second it was that unrest that was measured, not what serving costs.
 */
const settleMs = 10_000;
/** As long as the processor's clock needs to be exact to a percent or so. */
const measureMs = 5_000;
const movedDeadlineMs = 20_000;
/** As many as fit on one LAN are asked for a hundred adverts a second each, more of them for one. */
const fastMax = 200;
const intervalMs = { fast: 10, slow: 1_000 } as const;

const advertMsOf = (count: number): number => (count <= fastMax ? intervalMs.fast : intervalMs.slow);

/** Processor time and memory of many virtual routers in peace, how long they take to begin, and to move. */
export async function load({ counts, rounds, of, program }: Bench, note: Note): Promise<void> {
  for (const count of counts) {
    for (let round = 1; round <= rounds; round++) {
      for (const implementation of compared(of, { advertIntervalMs: advertMsOf(count), virtualRouters: count })) {
        await attempt(`load of ${count} on ${implementation}`, () => loadOnce(implementation, count, program, note));
      }
    }
  }
}

async function loadOnce(implementation: Implementation, count: number, program: KoiProgram, note: Note): Promise<void> {
  const advertMs = advertMsOf(count);
  await withLab(implementation, loaded(count), advertMs, { program }, async (lab) => {
    const of = `${count} virtual router${count === 1 ? '' : 's'}, adverts ${advertMs} ms`;
    const noted = (what: string, unit: Unit, value: number | undefined): void =>
      note(implementation, `${what}, ${of}`, unit, value);
    const startedMs = nowMs();
    await lab.startFirst();
    noted('all served after start', 'ms', servedMs(lab, startedMs));
    await lab.makeWhole();
    const master = lab.master();
    await observeFor(settleMs);
    const routers = lab.daemons.map((daemon) => ({ daemon, before: costOf(daemon.allPids()) }));
    const fromMs = nowMs();
    await observeFor(measureMs);
    for (const { daemon, before } of routers) {
      const after = costOf(daemon.allPids());
      const role = daemon === master ? 'master' : 'backup';
      noted(`processor, ${role}`, 'ms/s', ((after.cpuMs - before.cpuMs) * 1000) / (nowMs() - fromMs));
      noted(`memory, ${role}`, 'MiB', after.memoryMiB);
    }
    await moveAll(lab, master, noted);
  });
}

/** From the start to the last address that came to stay. */
function servedMs(lab: Lab, startedMs: number): number | undefined {
  const last = lab.setup.virtualRouters.map(
    ({ address }) => lab.owners.history(startedMs, nowMs(), address).at(-1)?.afterMs,
  );
  return last.every((each) => each !== undefined) ? Math.max(...last) : undefined;
}

async function moveAll(
  lab: Lab,
  master: Daemon,
  noted: (what: string, unit: Unit, value: number | undefined) => void,
): Promise<void> {
  const addresses = lab.setup.virtualRouters.map(({ address }) => address);
  const successor = lab.daemons.find((daemon) => daemon !== master)?.router.name ?? '';
  const atMs = nowMs();
  await lab.topology.cutLan(master.router);
  const left = (): number => addresses.filter((address) => !lab.owners.now(address).includes(successor)).length;
  const isOver = await waitUntil('all to move', () => (left() === 0 ? undefined : `${left()} have not`), {
    deadlineMs: movedDeadlineMs,
  }).then(
    () => true,
    () => false,
  );
  const movedMs = addresses.map((address) => {
    const [, ...changes] = lab.owners.history(atMs, nowMs(), address);
    return changes.find(({ owners }) => owners.includes(successor))?.afterMs;
  });
  const known = movedMs.filter((each) => each !== undefined);
  // Where it never came to the successor, it was there before: the cluster was not at rest.
  const isMeasured = isOver && known.length === addresses.length;
  noted('carrier lost: first address moved', 'ms', isMeasured ? Math.min(...known) : undefined);
  noted('carrier lost: last address moved', 'ms', isMeasured ? Math.max(...known) : undefined);
  noted('carrier lost: from first to last', 'ms', isMeasured ? Math.max(...known) - Math.min(...known) : undefined);
}
