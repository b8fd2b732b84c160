import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check } from '../scenario.js';
import { waitUntil } from '../wait.js';

/** Waits until every daemon has joined the log and the master's ownership is in it, where it was before. */
export async function rejoined(lab: Lab, master: Daemon): Promise<Check> {
  const name = 'the log is joined again';
  try {
    const tookMs = await waitUntil(name, () => lab.whole(), { deadlineMs: 20_000, everyMs: 50 });
    const [owner] = lab.owners.now();
    return check(name, owner === master.router.name, `after ${tookMs.toFixed(0)} ms, the VIP at ${owner}`);
  } catch (error) {
    return check(name, false, String(error));
  }
}

/** How long a claim waits for the log before the protocol's own rules decide. */
export const arbitrationTimeoutMs = 50;
