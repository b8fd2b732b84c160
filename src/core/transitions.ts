import type { ParentFault, TransitionReason } from './reasons.js';
import type { VrStateName } from './vr-state.js';

const parentFaults: readonly ParentFault[] = ['parent_absent', 'parent_down', 'carrier_lost', 'no_primary_address'];

/** Why a virtual router leaves the addresses behind and goes on as a backup. */
const yielding: readonly TransitionReason[] = [
  'better_advert',
  'higher_term',
  'log_prefers_other',
  'log_lost',
  'interference',
  'handed_over',
];

/** The reasons for which each state can be entered: every other pair is impossible, which a test of the machine checks. */
export const reasonsFor: Readonly<Record<VrStateName, readonly TransitionReason[]>> = {
  init: ['shutdown', 'handed_over', 'higher_term'],
  fault: parentFaults,
  backup: [
    ...yielding,
    'started',
    'owner',
    'parent_ready',
    'log_unreachable',
    'claim_lost',
    'overslept',
    'attach_failed',
    ...parentFaults,
  ],
  candidate: [
    'owner',
    'master_silent',
    'master_released',
    'master_resigned',
    'preempting',
    'handover',
    'claim_granted',
  ],
  master: ['attached', 'handover_failed'],
  draining: [...yielding, ...parentFaults, 'handover', 'shutdown'],
  fenced: ['overslept'],
};
