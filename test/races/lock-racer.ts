import { createInterface } from 'node:readline';
import { type LockName, LockSequence } from '../../src/kernel/lock.js';

/*
 * A process that takes locks when it is told to, one order a line:
 *
 *   {"locks": [...], "rounds": 125, "deadlineMs": 30000, "trace": "/path"}   takes all of them in turn, so many times
 *   {"hold": [...]}                                                          takes them, answers, and keeps them
 */
type Order =
  | { readonly locks: readonly LockName[]; readonly rounds: number; readonly deadlineMs: number }
  | { readonly hold: readonly LockName[] };

const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
const nowNs = (): string => process.hrtime.bigint().toString();

say({ ready: process.pid });
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  if ('hold' in order) {
    const sequence = new LockSequence();
    for (const name of order.hold) await sequence.acquire(name, 20_000);
    say({ held: order.hold.length });
    continue;
  }
  const sections: [from: string, to: string][] = [];
  const refused: string[] = [];
  let longestMs = 0;
  for (let round = 0; round < order.rounds; round += 1) {
    const sequence = new LockSequence();
    const askedMs = performance.now();
    try {
      for (const name of order.locks) await sequence.acquire(name, order.deadlineMs);
      const from = nowNs();
      await new Promise((resolve) => setImmediate(resolve));
      sections.push([from, nowNs()]);
    } catch (error) {
      refused.push(error instanceof Error ? error.message : String(error));
    }
    longestMs = Math.max(longestMs, performance.now() - askedMs);
    sequence.end();
  }
  say({ sections, refused, longestMs });
}
