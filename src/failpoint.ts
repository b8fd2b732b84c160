/**
 * Places between two steps of whatever puts a virtual IP on the wire, takes it off, or says whose it is. Each is named
 * after what has just been done. A test can wait there, fail there or die there, so that a window which is open for a
 * millisecond is opened on purpose, and the fix is proven in the opened window.
 */
export const failpointNames = [
  // Making the virtual-MAC link.
  'link.name_free',
  'link.created',
  'link.configured',
  // Attaching.
  'attach.parent',
  'attach.guards',
  'attach.link',
  'attach.link_set_up',
  'attach.link_up',
  'attach.registered',
  'attach.duplicates',
  'attach.addresses_added',
  'attach.addresses',
  'attach.routes',
  // Other addresses, while attached.
  'change.registered',
  'change.added',
  'change.removed',
  // Taking the addresses off, and the link after them.
  'detach.routes',
  'detach.addresses',
  'detach.link_given_up',
  'detach.link_deleted',
  // Challenging a holder: the agent's side, as the configuration has it.
  'challenge.answered',
  'challenge.revoked',
  // Claiming: the dataplane's side, then the agent's.
  'claim.term_saved',
  'claim.asked',
  'claim.attached',
  'claim.announced',
  'claim.append',
  'claim.appended',
  // Releasing: the dataplane's side, then the agent's.
  'release.addresses_off',
  'release.guard_told',
  'release.told',
  'release.farewell',
  'release.append',
  'release.appended',
  // Handing over: the dataplane's side, then the agent's.
  'handover.asked',
  'handover.append',
  'handover.appended',
  'handover.sent',
  'handover.left',
  // What a handover is given to: the agent's side, then the dataplane's.
  'prepare.asked',
  'prepare.named',
  'prepare.told',
] as const;
export type FailpointName = (typeof failpointNames)[number];

export interface Failpoints {
  /** Where the code waits anyway. */
  reached(name: FailpointName): Promise<void>;
  /** Where nothing else may happen in this process between the two steps. */
  passed(name: FailpointName): void;
}

/** Undefined, always, but where a test has put some. */
export let failpoints: Failpoints | undefined;

/** Nothing in Koi calls this: only code that a test loads beside it does. */
export function installFailpoints(installed: Failpoints | undefined): void {
  failpoints = installed;
}
