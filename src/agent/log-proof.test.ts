import { describe, expect, it } from 'vitest';
import { watchedUntilMs } from '../core/lease.js';
import { LogProof } from './log-proof.js';

function proofAt(leasesSinceMs: number | undefined) {
  const sent: (number | null)[] = [];
  const world = { nowMs: 1000, leasesSinceMs, isUp: true };
  const proof = new LogProof({
    clock: () => ({ monotonicMs: world.nowMs }),
    ttlMs: () => 4000,
    leasesSinceMs: () => world.leasesSinceMs,
    send: (message) => {
      if (world.isUp && message.type === 'proof') sent.push(message.fromMs);
      return world.isUp;
    },
  });
  return { proof, world, sent };
}

describe('from when on the silence of the log proves something', () => {
  it('is one lease after both streams are followed, counted from the later', () => {
    const { proof, world, sent } = proofAt(undefined);
    proof.events(true);
    expect(sent).toEqual([null]);
    world.leasesSinceMs = 1500;
    proof.tell();
    expect(sent).toEqual([null, watchedUntilMs(1500, 4000)]);
  });

  it('starts anew with each break of either', () => {
    const { proof, world, sent } = proofAt(500);
    proof.events(true);
    world.nowMs = 9000;
    proof.events(true);
    proof.events(false);
    proof.events(true);
    expect(sent).toEqual([watchedUntilMs(1000, 4000), null, watchedUntilMs(9000, 4000)]);
    world.leasesSinceMs = undefined;
    proof.tell();
    expect(sent.at(-1)).toBeNull();
  });

  it('is told to each dataplane, and again where one was not there to hear it', () => {
    const { proof, world, sent } = proofAt(500);
    world.isUp = false;
    proof.events(true);
    expect(sent).toEqual([]);
    world.isUp = true;
    proof.dataplaneUp();
    proof.dataplaneUp();
    expect(sent).toEqual([watchedUntilMs(1000, 4000), watchedUntilMs(1000, 4000)]);
  });
});
