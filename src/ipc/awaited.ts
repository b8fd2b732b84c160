import type { ToAgent, ToDataplane } from './protocol.js';

const awaited: ReadonlySet<(ToAgent | ToDataplane)['type']> = new Set([
  ...(['challenge', 'claim', 'released'] as const),
  ...(['challengeAnswer', 'claimAnswer', 'challenged'] as const),
]);

/** Whether a takeover, here or on another node, stands still until this has arrived. A handover has time: the giver serves. */
export const isAwaited = ({ type }: ToAgent | ToDataplane): boolean => awaited.has(type);
