// Appends to the log of a nats-server for a while, one event after the other, and then many at a time, and prints how many
// milliseconds each append took.
//
//   node append-worker.mjs DIST URL FOR_MS ABREAST
import { join } from 'node:path';

const [, , dist, url, forMs, abreast] = process.argv;
const { openJetStreamLogs } = await import(join(dist, 'log/jetstream.js'));
const connectDeadlineMs = 15_000;
const deadlineMs = 5_000;

const authentication = { kind: 'none' };
const logs = openJetStreamLogs({ cluster: 'edge', name: 'r1', servers: [url], replicas: 1, authentication });
let made = 0;

function transition() {
  made += 1;
  const now = Date.now();
  return {
    ...{
      id: `append-${made}`,
      cluster: 'edge',
      node: 'r1',
      boot: 'r1-boot',
      vr: 'gw',
      wallTimeMs: now,
      monotonicMs: now,
    },
    payload: { type: 'transition', from: 'backup', to: 'master', reason: 'attached' },
  };
}

function connected() {
  return new Promise((resolve, reject) => {
    let state = 'unknown';
    const late = () => reject(new Error(`the log is ${state} after ${connectDeadlineMs} ms`));
    const timer = setTimeout(late, connectDeadlineMs);
    logs.events.watch((status) => {
      state = status.state;
      if (state !== 'connected') return;
      clearTimeout(timer);
      resolve();
    });
  });
}

async function appendFor(lanes) {
  const tookMs = [];
  const untilMs = performance.now() + Number(forMs);
  const lane = async () => {
    while (performance.now() < untilMs) {
      const fromMs = performance.now();
      const result = await logs.events.append(transition(), { deadlineMs });
      if (result.kind !== 'stored') throw new Error(`an append came to ${result.kind}`);
      tookMs.push(Number((performance.now() - fromMs).toFixed(3)));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return tookMs;
}

await connected();
const one = await appendFor(1);
const many = await appendFor(Number(abreast));
await logs.close();
process.stdout.write(`${JSON.stringify({ one, many })}\n`);
