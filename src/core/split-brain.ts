import { resigns } from './rivals.js';
import type { Effect, HeardAdvert, Input, Step, Vr } from './vr-state.js';
import { isOwn, rules } from './vr-step.js';

/*
 * Split brain: this node serves, hears another master and stays. Who gives way tells why by leaving. One episode is told
 * once: it begins with the first advert and ends when the other is silent, or this node serves no more.
 */

export function settleRival({ vr, effects }: Step, input: Input): Step {
  const heard = input.type === 'advert' ? input.advert : undefined;
  const before = vr.rival;
  if (before !== undefined && isOver(vr, heard, input.atMs)) {
    const { name, sinceMs } = before;
    const ended: Effect = { type: 'splitBrain', rival: name, began: false, durationMs: input.atMs - sinceMs };
    return { vr: { ...vr, rival: undefined }, effects: [...effects, ended] };
  }
  if (heard === undefined || !isRival(vr, heard)) return { vr, effects };
  const patienceMs = rules(vr).masterDownMs(rules(vr).masterIntervalMs(heard.candidacy));
  const silentAtMs = input.atMs + patienceMs;
  if (before !== undefined) return { vr: { ...vr, rival: { ...before, silentAtMs } }, effects };
  const name = nameOf(heard);
  const began: Effect = { type: 'splitBrain', rival: name, began: true, durationMs: 0 };
  return { vr: { ...vr, rival: { name, sinceMs: input.atMs, silentAtMs } }, effects: [...effects, began] };
}

/** When the other counts as gone; infinity where there is none. */
export const rivalDueMs = ({ rival }: Vr): number => rival?.silentAtMs ?? Number.POSITIVE_INFINITY;

const nameOf = ({ node, source }: HeardAdvert): string => node ?? source;

const serves = ({ phase }: Vr): boolean => phase.name === 'master' || phase.name === 'handing';

function isOver(vr: Vr, heard: HeardAdvert | undefined, atMs: number): boolean {
  if (!serves(vr) || atMs >= rivalDueMs(vr)) return true;
  return heard !== undefined && nameOf(heard) === vr.rival?.name && resigns(vr, heard);
}

/** In a handover both serve for an instant, and both know. */
function isRival(vr: Vr, heard: HeardAdvert): boolean {
  const { phase, log, parameters } = vr;
  if (!serves(vr) || resigns(vr, heard) || heard.node === parameters.node) return false;
  if (phase.name === 'handing') return heard.node !== phase.to;
  const { ownership } = log;
  const lingers = phase.name === 'master' && ownership !== undefined && isOwn(vr, ownership, phase.term);
  return !lingers || heard.node === undefined || heard.node !== ownership.handedBy;
}
