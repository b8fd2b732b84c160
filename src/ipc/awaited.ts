import type { ToAgent, ToDataplane } from './protocol.js';

const awaited: ReadonlySet<(ToAgent | ToDataplane)['type']> = new Set([
  ...(['challenge', 'claim', 'askReady', 'startHandover', 'tellServing', 'released'] as const),
  ...(['challengeAnswer', 'claimAnswer', 'peerReady', 'peerServes', 'challenged'] as const),
]);

/** Whether a takeover or a handover, here or on another node, stands still until this has arrived. */
export const isAwaited = ({ type }: ToAgent | ToDataplane): boolean => awaited.has(type);
