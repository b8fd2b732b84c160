import type { KoiProgram } from '../lab/koi.js';
import { medianOf } from '../lab/median.js';
import { failOver } from '../lab/scenarios/arbitration.js';
import { arbitrated } from '../lab/setup.js';
import { NatsServer } from '../log/nats-server.js';
import { attempt, type Bench, isAsked, withLab } from './bench-lab.js';
import type { Note } from './figures.js';
import { runWorker } from './worker.js';

const failovers = 3;
const appendForMs = 3_000;
/** As many as the outbox has under way. */
const abreast = 64;

/** How many milliseconds each append took. */
interface Appended {
  readonly one: readonly number[];
  readonly many: readonly number[];
}

/** What the event log costs: how many appends it takes, and what a takeover waits for its word. */
export async function eventLog({ rounds, of, program }: Bench, note: Note): Promise<void> {
  if (!isAsked('koi', of)) return;
  for (let round = 1; round <= rounds; round++) {
    await attempt('appends', () => appends(program, note));
    await attempt('arbitration', () => arbitration(program, note));
  }
}

async function appends(program: KoiProgram, note: Note): Promise<void> {
  const server = await NatsServer.start();
  try {
    const args = [server.url, String(appendForMs), String(abreast)];
    const { one, many } = (await runWorker('append-worker.mjs', program, args)) as Appended;
    note('koi', 'log: append, one after the other, median', 'ms', medianOf(one));
    note('koi', 'log: appends, one after the other', '1/s', (one.length * 1000) / appendForMs);
    note('koi', `log: appends, ${abreast} at a time`, '1/s', (many.length * 1000) / appendForMs);
  } finally {
    await server.remove();
  }
}

async function arbitration(program: KoiProgram, note: Note): Promise<void> {
  await withLab('koi', arbitrated, 1_000, { program }, async (lab) => {
    for (let number = 0; number < failovers; number++) {
      await lab.makeWhole();
      const { logMs, wireMs } = await failOver(lab);
      note('koi', 'takeover after priority 0, to the first announcement: wire', 'ms', wireMs);
      note('koi', 'takeover after priority 0, to the first announcement: log', 'ms', logMs);
    }
  });
}
