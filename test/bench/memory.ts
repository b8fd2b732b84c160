import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nowMs } from '../lab/clock.js';
import type { Daemon } from '../lab/daemon.js';
import { outputDirectory } from '../lab/lab.js';
import type { Implementation } from '../lab/options.js';
import { loaded } from '../lab/setup.js';
import { observeFor } from '../lab/wait.js';
import { attempt, type Bench, compared, withLab } from './bench-lab.js';
import { costOf } from './cost.js';
import { type Note, slopeOf } from './figures.js';
import { GarbageLog } from './garbage-log.js';

const hourMs = 3_600_000;
const traceGarbage = fileURLToPath(new URL('./trace-garbage.cjs', import.meta.url));
const sampleEveryMs = 2_000;

/** What all processes of a node hold, and whether it grows. */
export async function memory({ of, watchMs, watched, intervalsMs, program }: Bench, note: Note): Promise<void> {
  const intervalMs = Math.min(...intervalsMs);
  for (const implementation of compared(of, { advertIntervalMs: intervalMs, virtualRouters: watched })) {
    await attempt(`memory of ${implementation}`, () =>
      memoryOf(implementation, watchMs, { watched, intervalMs, program }, note),
    );
  }
}

const logOf = (setup: string, daemon: Daemon): string =>
  join(outputDirectory, 'last', setup, `${daemon.router.name}.log`);

async function memoryOf(
  implementation: Implementation,
  watchMs: number,
  { watched, program, intervalMs }: Pick<Bench, 'watched' | 'program'> & { readonly intervalMs: number },
  note: Note,
): Promise<void> {
  await withLab(
    implementation,
    loaded(watched),
    intervalMs,
    { program, nodeOptions: `--require ${traceGarbage}` },
    async (lab) => {
      await lab.startFirst();
      await lab.makeWhole();
      const master = lab.master();
      const ofDataplane = new Map(lab.daemons.map((daemon) => [daemon, new GarbageLog(logOf(lab.setup.name, daemon))]));
      // What is made at the start is collected, or has grown to what is needed.
      await observeFor(watchMs / 2);
      const samples = new Map(lab.daemons.map((daemon) => [daemon, [] as { atMs: number; value: number }[]]));
      for (const log of ofDataplane.values()) log.begin();
      const untilMs = nowMs() + watchMs;
      while (nowMs() < untilMs) {
        for (const [daemon, of] of samples) of.push({ atMs: nowMs(), value: costOf(daemon.allPids()).memoryMiB });
        await observeFor(sampleEveryMs);
      }
      for (const [daemon, of] of samples) {
        const role = daemon === master ? 'master' : 'backup';
        const about = `${role}, ${watched} virtual routers, adverts ${intervalMs} ms`;
        note(implementation, `memory, ${about}`, 'MiB', of.at(-1)?.value);
        const pid = daemon.pids('dataplane')[0];
        const allocated =
          implementation === 'koi' && pid !== undefined ? ofDataplane.get(daemon)?.allocatedMiB(pid) : undefined;
        if (allocated !== undefined) {
          note(implementation, `allocated by the dataplane, ${about}`, 'MiB/s', (allocated * 1000) / watchMs);
        }
        note(implementation, `memory, slope, ${about}`, 'MiB/h', slopeOf(of) * hourMs);
      }
    },
  );
}
