import { explainReason } from '../core/reasons.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { PeerAnswer } from '../log/peer-channel.js';

/**
 * Whether this node could take a virtual router over now.
 *
 * @param told what its dataplane said last; undefined where it is not there, or does not know the virtual router
 * @param drained the operator has taken this node out of service
 * @param highestTermInLog the highest term that any event of the log speaks of
 */
export function peerReadiness(
  vr: string,
  told: VrStateMessage | undefined,
  drained: boolean,
  highestTermInLog: number,
): PeerAnswer {
  // The machine may be past the log: with terms of its own that were taken while the log was away.
  const highestTerm = Math.max(told?.term ?? 0, highestTermInLog);
  const ready = (is: boolean, reason: string): PeerAnswer => ({ ready: is, reason, highestTerm });
  if (told === undefined) return ready(false, `${vr} is not running here`);
  if (drained) return ready(false, explainReason('drained'));
  if (told.state !== 'backup') return ready(false, `${vr} is ${told.state}: ${explainReason(told.reason)}`);
  return ready(told.warnings.length === 0, told.warnings.join('; '));
}

/** It could, and nobody would know. */
export const unheard: Pick<PeerAnswer, 'ready' | 'reason'> = {
  ready: false,
  reason: 'nobody on its LAN answers it, so nobody would hear it serve: see its switch port',
};
