import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { demoted } from '../core/election-rules.js';
import { type BootId, nodeId } from '../core/identity.js';
import type { VrParameters } from '../core/vr-state.js';

/** Of the time that the log may take, going on without its word takes so much: a timer that is late, and one more step. */
const goingOnMs = 2;

/** What a configuration asks of the machine, with `loss` taken off its standing by what is tracked. */
export function routerParameters(
  { node, arbitrationTimeoutMs, challengeTimeoutMs, lease }: KoiConfig,
  boot: BootId,
  config: VirtualRouterConfig,
  loss: number,
): VrParameters {
  const { preempt, startDelayMs, arbitration, onLogLoss, onPathSplit } = config;
  return {
    node: nodeId(node),
    boot,
    election: demoted(electionOf(config), loss),
    preempt,
    startDelayMs,
    arbitration,
    onLogLoss,
    onPathSplit,
    arbitrationTimeoutMs: arbitrationTimeoutMs - goingOnMs,
    challengeTimeoutMs,
    leaseMs: lease.ttlMs,
  };
}
