import { openJetStreamLogs } from '../../src/log/jetstream.js';
import { nowMs } from '../lab/clock.js';
import { medianOf } from '../lab/median.js';
import { failOver } from '../lab/scenarios/arbitration.js';
import { arbitrated } from '../lab/setup.js';
import { waitUntil } from '../lab/wait.js';
import { observation } from '../log/events.js';
import { NatsServer } from '../log/nats-server.js';
import { attempt, withLab } from './bench-lab.js';
import type { Note } from './figures.js';
import type { BenchOptions } from './options.js';

const failovers = 3;
const appendForMs = 3_000;
/** As many as the outbox has under way. */
const abreast = 64;
const deadlineMs = 5_000;

/** What the event log costs: how many appends it takes, and what a takeover waits for its word. */
export async function eventLog({ rounds, of }: BenchOptions, note: Note): Promise<void> {
  if (of === 'keepalived') return;
  for (let round = 1; round <= rounds; round++) {
    await attempt('appends', () => appends(note));
    await attempt('arbitration', () => arbitration(note));
  }
}

async function appends(note: Note): Promise<void> {
  const server = await NatsServer.start();
  const authentication = { kind: 'none' } as const;
  const logs = openJetStreamLogs({ cluster: 'edge', name: 'r1', servers: [server.url], replicas: 1, authentication });
  try {
    await waitUntil(
      'the log',
      () => {
        let state = '';
        logs.events.watch((status) => {
          state = status.state;
        })();
        return state === 'connected' ? undefined : state;
      },
      { deadlineMs: 15_000 },
    );
    const one = await appendFor(1, logs);
    note('koi', 'log: append, one after the other, median', 'ms', medianOf(one));
    note('koi', 'log: appends, one after the other', '1/s', (one.length * 1000) / appendForMs);
    const many = await appendFor(abreast, logs);
    note('koi', `log: appends, ${abreast} at a time`, '1/s', (many.length * 1000) / appendForMs);
  } finally {
    await logs.close();
    await server.remove();
  }
}

/** How long each append took, in milliseconds. */
async function appendFor(at: number, logs: ReturnType<typeof openJetStreamLogs>): Promise<number[]> {
  const tookMs: number[] = [];
  const untilMs = nowMs() + appendForMs;
  const lane = async (): Promise<void> => {
    while (nowMs() < untilMs) {
      const fromMs = nowMs();
      const event = observation('r1', { type: 'transition', from: 'backup', to: 'master', reason: 'attached' });
      const result = await logs.events.append({ ...event, vr: 'gw' }, { deadlineMs });
      if (result.kind !== 'stored') throw new Error(`an append came to ${result.kind}`);
      tookMs.push(nowMs() - fromMs);
    }
  };
  await Promise.all(Array.from({ length: at }, lane));
  return tookMs;
}

async function arbitration(note: Note): Promise<void> {
  await withLab('koi', arbitrated, 1_000, {}, async (lab) => {
    for (let number = 0; number < failovers; number++) {
      await lab.makeWhole();
      const { logMs, wireMs } = await failOver(lab);
      note('koi', 'takeover after priority 0, to the first announcement: wire', 'ms', wireMs);
      note('koi', 'takeover after priority 0, to the first announcement: log', 'ms', logMs);
    }
  });
}
