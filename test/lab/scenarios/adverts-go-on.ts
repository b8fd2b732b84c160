import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { type Check, check } from '../scenario.js';
import { vrid } from '../topology.js';

/** Whether the master let no more than one and a half intervals pass between two adverts. */
export function advertsGoOn(lab: Lab, master: Daemon, fromMs: number, untilMs: number): Check {
  const gapMs = lab.recorder.advertGapMs(master.router.name, vrid, fromMs, untilMs);
  const ok = gapMs !== undefined && gapMs <= 1.5 * lab.timing.advertIntervalMs;
  return check('adverts go on', ok, gapMs === undefined ? 'no advert at all' : `longest gap ${gapMs.toFixed(0)} ms`);
}
