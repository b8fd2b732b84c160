import type { HeardAdvert, Vr } from './vr-state.js';
import { rules } from './vr-step.js';

/** How the sender of an advert compares with this node, by the protocol alone. */

export const resigns = (vr: Vr, { candidacy }: HeardAdvert): boolean => rules(vr).compare(candidacy) === 'resigned';

export const isFailing = (vr: Vr, { candidacy }: HeardAdvert): boolean => rules(vr).compare(candidacy) === 'failing';

export function isWorse(vr: Vr, { candidacy }: HeardAdvert): boolean {
  const comparison = rules(vr).compare(candidacy);
  return comparison === 'worse' || comparison === 'failing';
}

export function isBetter(vr: Vr, { candidacy, sourceOrder }: HeardAdvert): boolean {
  const comparison = rules(vr).compare(candidacy);
  return comparison === 'better' || (comparison === 'tie' && rules(vr).yieldsTie(sourceOrder));
}
