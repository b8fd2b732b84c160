import { nowMs } from '../lab/clock.js';
import { runScenario } from '../lab/run-scenario.js';
import { gracefulStop } from '../lab/scenarios/graceful-stop.js';
import { handover } from '../lab/scenarios/handover.js';
import { carrierLost, silentPathLoss } from '../lab/scenarios/lan-lost.js';
import { freezeDataplane, killDataplane } from '../lab/scenarios/process-lost.js';
import { single } from '../lab/setup.js';
import { attempt, type Bench, compared, withLab } from './bench-lab.js';
import type { Note } from './figures.js';

const failures = [gracefulStop, handover, carrierLost, silentPathLoss, killDataplane, freezeDataplane];

/** What the client feels of each failure of the master, one virtual router. */
export async function outages({ intervalsMs, rounds, of: only, program }: Bench, note: Note): Promise<void> {
  for (const intervalMs of intervalsMs) {
    for (const implementation of compared(only, { advertIntervalMs: intervalMs, virtualRouters: 1 })) {
      await attempt(`outages of ${implementation} at ${intervalMs} ms`, () =>
        withLab(implementation, single, intervalMs, { program }, async (lab) => {
          await lab.makeWhole();
          let judgedUntilMs = 0;
          for (const scenario of failures) {
            if (scenario.koiOnly === true && implementation !== 'koi') continue;
            for (let round = 1; round <= rounds; round++) {
              const result = await runScenario(lab, scenario, round, judgedUntilMs, Number.POSITIVE_INFINITY);
              judgedUntilMs = nowMs();
              // An address that two routers hold for good answers with either: that is no recovery. Handed over twenty
              // times, it is back where it was.
              const isElsewhere = scenario === handover || result.successor !== result.victim;
              const moved = result.oneOwnerMs !== undefined && isElsewhere;
              const of = `${scenario.title}, adverts ${intervalMs} ms`;
              note(implementation, `outage, ${of}`, 'ms', moved ? result.outageMs : undefined);
              note(implementation, `probes lost, ${of}`, '', moved ? result.lost : undefined);
              await lab.makeWhole().catch(() => lab.makeWhole());
              lab.forget();
              // Each wait for what never comes is as long as the first.
              if (!moved) break;
            }
          }
        }),
      );
    }
  }
}
