import { setTimeout as pause } from 'node:timers/promises';
import { nowMs } from './clock.js';

/** A condition that did not come true in time. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** How long the machine may stand still without a test of what Koi does failing for it: speed is for the bench. */
export const stallMs = 500;

/** Why a condition does not hold yet, or undefined once it holds. */
export type Condition = () => string | undefined | Promise<string | undefined>;

/**
 * The lab's one way to wait: asks again every `everyMs` until the condition holds.
 *
 * @returns the milliseconds it took
 * @throws DeadlineError naming `what` and the reason the condition last gave
 */
export async function waitUntil(
  what: string,
  condition: Condition,
  options: { deadlineMs: number; everyMs?: number },
): Promise<number> {
  const start = nowMs();
  for (;;) {
    const reason = await condition();
    const elapsedMs = nowMs() - start;
    if (reason === undefined) return elapsedMs;
    if (elapsedMs > options.deadlineMs) {
      throw new DeadlineError(`waited ${(elapsedMs / 1000).toFixed(1)} s for ${what}: ${reason}`);
    }
    await pause(options.everyMs ?? 20);
  }
}

/** Watches for a stated time: for promises of the kind "nothing happens", which no condition can shorten. */
export async function observeFor(durationMs: number): Promise<void> {
  await pause(durationMs);
}
