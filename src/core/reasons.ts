/**
 * Why a virtual router changed its state: one enumerated word, the same in the log, in metrics, in `koi status` and in
 * `koi timeline`.
 */
export const transitionReasons = [
  'started',
  'start_delay',
  'owner',
  'master_heard',
  'master_silent',
  'master_released',
  'master_resigned',
  'master_demoted',
  'preempting',
  'handover',
  'handed_over',
  'handover_failed',
  'claim_granted',
  'claim_lost',
  'attached',
  'attach_failed',
  'better_advert',
  'higher_term',
  'log_prefers_other',
  'log_lost',
  'log_unreachable',
  'advert_path_lost',
  'lease_lost',
  'holder_leased',
  'log_unproven',
  'drained',
  'undrained',
  'parent_absent',
  'parent_down',
  'carrier_lost',
  'no_primary_address',
  'namespace_absent',
  'configuration_differs',
  'parent_ready',
  'tracking_failed',
  'group_failed',
  'recovered',
  'group_takes',
  'group_left',
  'overslept',
  'interference',
  'shutdown',
  'dataplane_lost',
] as const;

export type TransitionReason = (typeof transitionReasons)[number];

export const isTransitionReason = (word: string): word is TransitionReason =>
  (transitionReasons as readonly string[]).includes(word);

/** Why the parent interface cannot carry a virtual router now. */
export type ParentFault = Extract<
  TransitionReason,
  'parent_absent' | 'parent_down' | 'carrier_lost' | 'no_primary_address' | 'namespace_absent'
>;

/** Why a virtual router cannot serve now. */
export type Fault =
  | ParentFault
  | Extract<TransitionReason, 'tracking_failed' | 'group_failed' | 'configuration_differs'>;

const sentences: Readonly<Record<TransitionReason, string>> = {
  started: 'it has listened since it started',
  start_delay: 'it has just started and takes nothing over before its start delay is over',
  owner: 'it owns the addresses (priority 255)',
  master_heard: 'it hears the master',
  master_silent: 'the master has not been heard for the master-down interval',
  master_released: 'the log says that the holder released',
  master_resigned: 'the master resigned with its last advert',
  master_demoted: 'the master says that it is demoted, or sends too rarely',
  handover: 'the master handed over to it',
  handover_failed: 'the node it wanted to hand over to did not take over',
  handed_over: 'it handed over to another node, which serves',
  preempting: 'it is the better placed and may preempt',
  claim_granted: 'the log granted its claim',
  claim_lost: 'another node claimed first',
  attached: 'virtual MAC and addresses are in place and read back',
  attach_failed: 'a step of the attach failed; the others were undone',
  better_advert: 'a better master was heard on the LAN',
  higher_term: 'another node claimed a higher term in the log',
  log_prefers_other: 'the log knows another owner',
  log_lost: 'the log has been away for longer than the lease and onLogLoss is release',
  log_unreachable: 'the log cannot answer, and onLogLoss does not let it take over without',
  advert_path_lost: 'the master answers and serves, only its adverts do not come through',
  lease_lost: 'it has no valid lease in the log (strict)',
  log_unproven: 'it has not yet followed the log without a break for as long as a lease lasts (strict)',
  holder_leased: 'nothing proves yet that the lease of the holder has run out (strict)',
  drained: 'the node is drained: it takes nothing over until koi undrain',
  undrained: 'the node is back in service',
  parent_absent: 'its interface does not exist',
  parent_down: 'its interface is administratively down',
  carrier_lost: 'its interface has no carrier',
  no_primary_address: 'its interface has no address of its own to send adverts from',
  namespace_absent: 'the network namespace of its addresses does not exist, or cannot be entered',
  configuration_differs: 'its configuration is not the one in force on the other nodes (`koi status` says in what)',
  parent_ready: 'its interface is ready again',
  tracking_failed: 'something that it tracks without a weight is down',
  group_failed: 'another virtual router of its sync group cannot serve',
  recovered: 'what it tracks, its sync group or its configuration is well again',
  group_takes: 'another virtual router of its sync group takes over',
  group_left: 'another virtual router of its sync group has left the mastership',
  overslept: 'it was not running for longer than the master-down interval',
  interference: 'another program keeps removing its link or addresses',
  shutdown: 'it was told to stop',
  dataplane_lost: 'its dataplane died and the guard took the addresses off',
};

/** The same reason as a clause that completes "because …". */
export const explainReason = (reason: TransitionReason): string => sentences[reason];
