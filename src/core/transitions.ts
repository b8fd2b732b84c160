import type { Fault, TransitionReason } from './reasons.js';
import type { VrStateName } from './vr-state.js';

const faults: readonly Fault[] = [
  'parent_absent',
  'parent_down',
  'carrier_lost',
  'no_primary_address',
  'namespace_absent',
  'tracking_failed',
  'group_failed',
];

/** Why a virtual router leaves the addresses behind and goes on as a backup. */
const yielding: readonly TransitionReason[] = [
  'better_advert',
  'higher_term',
  'log_prefers_other',
  'log_lost',
  'interference',
  'handed_over',
  'group_left',
  'drained',
  'lease_lost',
];

/** The reasons for which each state can be entered: every other pair is impossible, which a test of the machine checks. */
export const reasonsFor: Readonly<Record<VrStateName, readonly TransitionReason[]>> = {
  init: ['shutdown', 'handed_over', 'higher_term'],
  fault: faults,
  backup: [
    ...yielding,
    'started',
    'owner',
    'start_delay',
    'parent_ready',
    'recovered',
    'log_unreachable',
    'claim_lost',
    'overslept',
    'attach_failed',
    ...faults,
  ],
  candidate: [
    'owner',
    'master_silent',
    'master_released',
    'master_resigned',
    'master_demoted',
    'preempting',
    'handover',
    'group_takes',
    'advert_path_lost',
    'claim_granted',
  ],
  master: ['attached', 'handover_failed'],
  draining: [...yielding, ...faults, 'handover', 'shutdown'],
  fenced: ['overslept', 'lease_lost'],
};
