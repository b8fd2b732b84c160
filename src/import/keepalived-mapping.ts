import type { FindProgram } from './command.js';
import { type Globals, readGlobals } from './globals.js';
import { type HookTools, readHooks } from './hooks.js';
import { readInstance, readTracked } from './instance.js';
import type { ImportedEntry, Shared } from './instance-draft.js';
import type { Directive } from './keepalived-parser.js';

import { Ledger, type LeftOut, type Why } from './ledger.js';
import { readSyncGroups, type SyncGroup } from './sync-groups.js';
import { definingKeywords, type ImportedTrack, TrackBook, type TrackedKind } from './track-book.js';
import { Names } from './words.js';

export interface ImportedRouter {
  readonly directive: Directive;
  /** Entries of `virtualRouters[]`, each with the line it comes from. */
  readonly entries: readonly ImportedEntry[];
}

export interface Imported {
  readonly routers: readonly ImportedRouter[];
  readonly tracks: readonly ImportedTrack[];
  readonly startDelay: Globals['startDelay'];
  readonly leftOut: readonly LeftOut[];
  /** The statements that are carried over, and those that are listed; one may be both. */
  readonly carried: ReadonlySet<Directive>;
  readonly listed: ReadonlySet<Directive>;
}

/** Koi's own limits of a configuration (schema.ts, placement-checks.ts). */
const routersMax = 1_024;
const addressesMax = 4_096;

/**
 * Says in Koi's words what a keepalived.conf says; each statement is either carried over or listed.
 *
 * @param refuse what Koi has against a router or a track of the result; it is taken out then, and listed with that
 */
export function mapKeepalived(
  directives: readonly Directive[],
  findProgram: FindProgram,
  refuse: (imported: Imported) => Refusals = () => none,
): Imported {
  const mapping = new Mapping(directives, findProgram);
  mapping.run();
  for (;;) {
    const refusals = refuse(mapping.result);
    if (refusals.routers.size + refusals.tracks.size > 0) mapping.drop(refusals);
    else return mapping.finish();
  }
}

/** By their index in the result. */
export interface Refusals {
  readonly routers: ReadonlyMap<number, Why>;
  readonly tracks: ReadonlyMap<number, Why>;
}

const none: Refusals = { routers: new Map(), tracks: new Map() };

const trackingKinds: Readonly<Record<string, TrackedKind>> = {
  track_interface: 'interface',
  track_script: 'script',
  track_file: 'file',
  track_process: 'process',
};

class Mapping {
  readonly #directives: readonly Directive[];
  readonly #ledger: Ledger;
  readonly #shared: Shared;
  readonly #tools: HookTools;
  #routers: ImportedRouter[] = [];

  constructor(directives: readonly Directive[], findProgram: FindProgram) {
    this.#directives = directives;
    this.#ledger = new Ledger(directives);
    const ledger = this.#ledger;
    const globals = readGlobals(directives, ledger);
    this.#tools = { ledger, findProgram, scriptUser: globals.scriptUser };
    const tracks = new TrackBook(directives, this.#tools);
    this.#shared = { ledger, globals, tracks, findProgram, addresses: new Set() };
  }

  get result(): Imported {
    const { carried, listed, leftOut } = this.#ledger;
    const { globals } = this.#shared;
    const used = new Set(this.#routers.flatMap(({ entries }) => tracksOf(entries)));
    const tracks = this.#shared.tracks.tracks.filter(({ entry }) => used.has(entry.name));
    return { routers: this.#routers, tracks, startDelay: globals.startDelay, leftOut, carried, listed };
  }

  run(): void {
    const instances = this.#directives.filter(({ name }) => name === 'vrrp_instance');
    const known = new Set(instances.map(({ values }) => values[0] ?? ''));
    const groups = readSyncGroups(this.#directives, known, this.#ledger);
    const groupOf = new Map(groups.flatMap((group) => group.members.map((member) => [member, group] as const)));
    const names = new Names();
    let addresses = 0;
    const seen = new Set<string>();
    for (const instance of instances) {
      const said = instance.values[0] ?? '';
      if (said === '' || seen.has(said)) {
        const reason = said === '' ? 'the instance has no name' : `there is a vrrp_instance ${said} already`;
        this.#ledger.leave(instance, { reason, remedy: 'give each instance a name of its own' });
        continue;
      }
      seen.add(said);
      const entries = readInstance(instance, names.take(said), this.#shared, groupOf.get(said));
      if (entries === undefined) continue;
      addresses += countOf(entries, 'addresses');
      if (this.#routers.length < routersMax && addresses <= addressesMax) {
        this.#routers.push({ directive: instance, entries });
      } else {
        const reason = `a node of Koi has ${routersMax} virtual routers and ${addressesMax} addresses at most`;
        this.#ledger.leave(instance, { reason, remedy: 'share them out over more nodes' });
      }
    }
    for (const group of groups) this.#applyGroup(group);
    this.#leaveRest();
  }

  finish(): Imported {
    this.#shared.tracks.leaveUnused(this.result.tracks);
    return this.result;
  }

  /** Takes routers and tracks out again. */
  drop({ routers, tracks }: Refusals): void {
    const known = this.result.tracks;
    const dropped = [...tracks].flatMap(([index, why]) => {
      const track = known[index];
      for (const line of track?.lines ?? []) this.#ledger.leave(line, why);
      return track === undefined ? [] : [track.entry.name];
    });
    this.#routers = this.#routers.flatMap((router, index) => {
      const why = routers.get(index);
      if (why === undefined) return [{ ...router, entries: withoutTracks(router.entries, dropped) }];
      this.#ledger.leave(router.directive, why);
      return [];
    });
  }

  #applyGroup(group: SyncGroup): void {
    const members = this.#routers.filter(({ directive }) => group.members.includes(directive.values[0] ?? ''));
    const [first] = members;
    if (first === undefined) {
      const why = { reason: 'none of its members is carried over', remedy: 'see its members' };
      for (const directive of [...group.tracking, ...group.notifying]) this.#ledger.leave(directive, why);
      return;
    }
    for (const list of group.tracking) {
      const kind = trackingKinds[list.name];
      if (kind === undefined) continue;
      const found: string[] = [];
      readTracked(kind, list, { shared: this.#shared, inGroup: false, append: (name) => found.push(name) });
      if (found.length > 0) this.#replace(members, (entries) => withTracks(entries, found, list));
    }
    if (group.notifying.length === 0) return;
    if (first.entries.some(({ key }) => key === 'hooks')) {
      const why = { reason: 'the first member has hooks of its own', remedy: 'call both from one script' };
      for (const directive of group.notifying) this.#ledger.leave(directive, why);
      return;
    }
    const priority = first.entries.find(({ key }) => key === 'priority')?.value;
    const notified = { kind: 'GROUP', name: group.said, priority: Number(priority ?? 100) } as const;
    const hooks = readHooks(group.notifying, notified, this.#tools);
    if (hooks === undefined) return;
    this.#replace([first], (entries) => [...entries, { key: 'hooks', value: hooks, place: group.directive.place }]);
  }

  #replace(
    routers: readonly ImportedRouter[],
    change: (entries: ImportedRouter['entries']) => ImportedRouter['entries'],
  ): void {
    this.#routers = this.#routers.map((router) =>
      routers.some(({ directive }) => directive === router.directive)
        ? { ...router, entries: change(router.entries) }
        : router,
    );
  }

  #leaveRest(): void {
    const read = ['global_defs', 'vrrp_sync_group', 'vrrp_instance'];
    for (const directive of this.#directives) {
      if (read.includes(directive.name) || this.#shared.tracks.has(directive)) continue;
      if (!Object.hasOwn(definingKeywords, directive.name)) this.#ledger.leave(directive);
      else this.#ledger.leave(directive, { reason: 'it has no name, or one that is taken', remedy: 'name it anew' });
    }
  }
}

const countOf = (entries: readonly ImportedEntry[], key: string): number => {
  const value = entries.find((entry) => entry.key === key)?.value;
  return Array.isArray(value) ? value.length : 0;
};

const tracksOf = (entries: readonly ImportedEntry[]): readonly string[] =>
  (entries.find(({ key }) => key === 'track')?.value ?? []) as readonly string[];

function withTracks(entries: readonly ImportedEntry[], names: readonly string[], from: Directive): ImportedEntry[] {
  const known = entries.find(({ key }) => key === 'track');
  const value = [...new Set([...tracksOf(entries), ...names])];
  const others = entries.filter((entry) => entry !== known);
  return [...others, { key: 'track', value, place: known?.place ?? from.place }];
}

function withoutTracks(entries: readonly ImportedEntry[], dropped: readonly string[]): readonly ImportedEntry[] {
  if (dropped.length === 0) return entries;
  return entries.flatMap((entry) => {
    if (entry.key !== 'track') return [entry];
    const value = tracksOf(entries).filter((name) => !dropped.includes(name));
    return value.length === 0 ? [] : [{ ...entry, value }];
  });
}
