import type { TransitionReason } from './reasons.js';
import type { Phase, Vr } from './vr-state.js';
import { silentAdverts } from './vrrp-timers.js';

/*
 * Virtual routers of one sync group move together: a fault of one is a fault of all, one that takes over takes the
 * others along, one that leaves takes them along too.
 *
 * Nothing swings back and forth because only a member's *own* fault counts, never one it has from the group, and because
 * a member does not take over on its own silence while another still hears a live master: then the path of its adverts
 * is broken and not the node, and the node that serves the others would at once take this one back.
 */

/** What the group has to know of a member. */
export interface GroupMember {
  readonly name: string;
  /** It cannot serve, by itself: its interface or what it tracks. */
  readonly isFaulty: boolean;
  readonly standing: 'out' | 'listening' | 'serving';
  readonly lastReason: TransitionReason;
}

export interface GroupMove {
  readonly name: string;
  readonly move: 'take' | 'leave';
  /** The one that left could not serve: the others hold off as it does. */
  readonly holdOff: boolean;
}

const serving: ReadonlySet<Phase['name']> = new Set(['claiming', 'attaching', 'master', 'handing']);
/** The member tries again by itself, and the others wait for it where they are. */
const stillTrying: ReadonlySet<TransitionReason> = new Set(['log_unreachable']);
const couldNot: ReadonlySet<TransitionReason> = new Set(['attach_failed', 'interference']);

export function memberOf(vr: Vr, name: string, isFaulty: boolean): GroupMember {
  const { phase, lastReason } = vr;
  const standing = phase.name === 'backup' ? 'listening' : serving.has(phase.name) ? 'serving' : 'out';
  return { name, isFaulty, standing, lastReason };
}

/** Until when a backup counts its master as alive, on the adverts heard so far; the past where it does not. */
export function hearsUntilMs({ phase, masterIntervalMs }: Vr): number {
  if (phase.name !== 'backup' || phase.prompt !== undefined) return Number.NEGATIVE_INFINITY;
  return phase.silentSinceMs + silentAdverts * masterIntervalMs;
}

/** Whether a member is in fault because of the others. */
export const isFaultyByGroup = (name: string, members: readonly GroupMember[]): boolean =>
  members.some((member) => member.name !== name && member.isFaulty);

/**
 * What the others do after one member changed. `before` and `after` are that member; `others` are the rest as they are
 * now, so that those which have moved already are not told again.
 */
export function groupMoves(before: GroupMember, after: GroupMember, others: readonly GroupMember[]): GroupMove[] {
  if (before.standing === after.standing) return [];
  if (after.standing === 'serving') {
    return others
      .filter(({ standing }) => standing === 'listening')
      .map(({ name }) => ({ name, move: 'take', holdOff: false }));
  }
  if (before.standing !== 'serving' || stillTrying.has(after.lastReason)) return [];
  return others
    .filter(({ standing }) => standing === 'serving')
    .map(({ name }) => ({ name, move: 'leave', holdOff: couldNot.has(after.lastReason) }));
}
