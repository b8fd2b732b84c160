import type { Standing, Vr } from './vr-state.js';

/** Whether the log has what this node holds; null: it holds nothing. */
export const standingOf = ({ phase }: Vr): Standing['kind'] | null =>
  'standing' in phase && phase.standing !== undefined ? phase.standing.kind : null;

/** No transition, and the agent must know: another standing, or a term heard of on the LAN, which a handover to it has to exceed. */
export const isNews = (before: Vr, after: Vr): boolean =>
  standingOf(after) !== standingOf(before) || isFurther(before, after);

const isFurther = (before: Vr, after: Vr): boolean =>
  after.highestTerm > before.highestTerm && after.phase.name === 'backup' && before.phase.name === 'backup';
