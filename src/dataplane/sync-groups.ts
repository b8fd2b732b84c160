import { type GroupMember, groupMoves, hearsUntilMs, isFaultyByGroup, memberOf } from '../core/sync-group.js';
import type { Input, Vr } from '../core/vr-state.js';

/** What the groups need of a virtual router. */
export interface Grouped {
  readonly name: string;
  readonly machine: Vr;
  /** It cannot serve, by itself. */
  readonly isFaulty: boolean;
  give(input: Input): void;
  /** Another member cannot serve, so it may not either; or may again. */
  setGroupFault(isFaulty: boolean): void;
}

/** Keeps the virtual routers of each sync group together: it tells the others what one of them did. */
export class SyncGroups {
  readonly #groups = new Map<string, Map<string, Grouped>>();
  readonly #groupOf = new Map<string, string>();
  readonly #known = new Map<string, GroupMember>();

  /** Puts a virtual router into a group, or, without one, out of any. */
  place(router: Grouped, group: string | undefined): void {
    const before = this.#groupOf.get(router.name);
    if (before !== group) this.#leave(router.name, before);
    if (group === undefined) return;
    const members = this.#groups.get(group) ?? new Map<string, Grouped>();
    this.#groups.set(group, members.set(router.name, router));
    this.#groupOf.set(router.name, group);
    this.#known.set(router.name, lookAt(router));
    this.#tellFaults(members);
  }

  remove(name: string): void {
    this.#leave(name, this.#groupOf.get(name));
  }

  /** A virtual router has changed: the others of its group follow. Cheap where it is in none, or moved nowhere. */
  changed(router: Grouped, atMs: number): void {
    const members = this.#membersWith(router.name);
    const before = this.#known.get(router.name);
    if (members === undefined || before === undefined) return;
    const after = lookAt(router);
    this.#known.set(router.name, after);
    if (before.isFaulty !== after.isFaulty) this.#tellFaults(members);
    if (before.standing === after.standing) return;
    const others = [...members.values()].filter(({ name }) => name !== router.name).map(lookAt);
    for (const { name, move, holdOff } of groupMoves(before, after, others)) {
      members.get(name)?.give({ type: 'group', move, holdOff, atMs });
    }
  }

  /** Until when the others of its group hear a live master; undefined for one that is in no group. */
  heldUntilMs(name: string): number | undefined {
    const members = this.#membersWith(name);
    if (members === undefined) return undefined;
    let latestMs = Number.NEGATIVE_INFINITY;
    for (const other of members.values()) {
      if (other.name !== name) latestMs = Math.max(latestMs, hearsUntilMs(other.machine));
    }
    return latestMs;
  }

  #membersWith(name: string): Map<string, Grouped> | undefined {
    const group = this.#groupOf.get(name);
    return group === undefined ? undefined : this.#groups.get(group);
  }

  #leave(name: string, group: string | undefined): void {
    const members = group === undefined ? undefined : this.#groups.get(group);
    const router = members?.get(name);
    if (group === undefined || members === undefined || router === undefined) return;
    members.delete(name);
    this.#groupOf.delete(name);
    this.#known.delete(name);
    router.setGroupFault(false);
    if (members.size === 0) this.#groups.delete(group);
    else this.#tellFaults(members);
  }

  #tellFaults(members: ReadonlyMap<string, Grouped>): void {
    const all = [...members.values()];
    const known = all.map(lookAt);
    for (const router of all) router.setGroupFault(isFaultyByGroup(router.name, known));
  }
}

const lookAt = ({ machine, name, isFaulty }: Grouped): GroupMember => memberOf(machine, name, isFaulty);
