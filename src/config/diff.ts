import { isDeepStrictEqual } from 'node:util';
import type { KoiConfig, TrackConfig, VirtualRouterConfig } from './config.js';
import { formatDuration } from './duration.js';

/** One setting that differs, as people read it. */
export interface FieldChange {
  readonly field: string;
  readonly from: string;
  readonly to: string;
}

interface CameOrWent {
  readonly kind: 'added' | 'removed';
  readonly name: string;
}

interface TrackChanged {
  readonly kind: 'changed';
  readonly name: string;
  readonly fields: readonly FieldChange[];
}

interface RouterChanged extends TrackChanged {
  /** It cannot keep its state: it is released and begins anew. */
  readonly restarts: boolean;
}

export type RouterChange = CameOrWent | RouterChanged;
export type TrackChange = CameOrWent | TrackChanged;

/** A setting that only a restart can change, and of what. */
export interface FixedChange {
  readonly field: string;
  readonly restart: 'agent' | 'koi';
}

/** What it takes to get from one configuration to another. */
export interface ConfigDiff {
  readonly routers: readonly RouterChange[];
  readonly tracks: readonly TrackChange[];
  /** Settings of the node that a reload applies to every virtual router. */
  readonly node: readonly FieldChange[];
  readonly fixed: readonly FixedChange[];
}

/** What a virtual router can change without leaving its state. Whatever is not named here restarts it. */
const liveFields: ReadonlySet<string> = new Set([
  'priority',
  'advertIntervalMs',
  'advbase',
  'advskew',
  'demotion',
  'preempt',
  'startDelayMs',
  'addresses',
  'passwordFile',
  'authentication',
  'authHmac',
  'checksum',
  'accept',
  'arbitration',
  'onLogLoss',
  'onPathSplit',
  'track',
  'syncGroup',
  'hooks',
]);

const liveNodeFields: ReadonlySet<string> = new Set(['arbitrationTimeoutMs', 'challengeTimeoutMs']);
/** No address moves when the agent is restarted. */
const agentFields: ReadonlySet<string> = new Set(['log', 'http', 'lease']);

/** Compares two configurations, virtual router by virtual router. They are matched by name; order means nothing. */
export function diffConfig(before: KoiConfig, after: KoiConfig): ConfigDiff {
  const node: FieldChange[] = [];
  const fixed: FixedChange[] = [];
  for (const change of diffFields(before, after, new Set(['track', 'virtualRouters']))) {
    if (liveNodeFields.has(change.field)) node.push(change);
    else {
      const isServers = change.field === 'log' && !isDeepStrictEqual(before.log.embedded, after.log.embedded);
      const isAgents = agentFields.has(change.field) && !isServers;
      fixed.push({ field: change.field, restart: isAgents ? 'agent' : 'koi' });
    }
  }
  return {
    routers: diffNamed(before.virtualRouters, after.virtualRouters, diffRouter),
    tracks: diffNamed(before.track, after.track, diffTrack),
    node,
    fixed,
  };
}

export const isSame = (diff: ConfigDiff): boolean =>
  diff.routers.length + diff.tracks.length + diff.node.length + diff.fixed.length === 0;

/** The differences, a line each: `gw: priority 100 → 150`. */
export function describeDiff(diff: ConfigDiff): string[] {
  const fields = (changes: readonly FieldChange[]): string =>
    changes.map(({ field, from, to }) => `${field} ${from} → ${to}`).join(', ');
  return [
    ...diff.node.map((change) => fields([change])),
    ...diff.tracks.map((change) =>
      change.kind === 'changed'
        ? `track ${change.name}: ${fields(change.fields)}`
        : `track ${change.name}: ${change.kind}`,
    ),
    ...diff.routers.map((change) => {
      if (change.kind !== 'changed') return `${change.name}: ${change.kind}`;
      return `${change.name}: ${fields(change.fields)}${change.restarts ? '; it is released and begins anew' : ''}`;
    }),
  ];
}

function diffTrack(from: TrackConfig, to: TrackConfig): TrackChanged | undefined {
  const fields = diffFields(from, to);
  return fields.length === 0 ? undefined : { kind: 'changed', name: to.name, fields };
}

function diffRouter(from: VirtualRouterConfig, to: VirtualRouterConfig): RouterChanged | undefined {
  const fields = diffFields(from, to);
  if (fields.length === 0) return undefined;
  // An address that is on another interface, or brings a route, is more than an address.
  const isPlaced = [from, to].some(({ addresses }) => addresses.some((vip) => vip.interface ?? vip.prefixRoute));
  const isLive = fields.every(({ field }) => liveFields.has(field) && !(field === 'addresses' && isPlaced));
  const restarts = !isLive || familiesOf(from) !== familiesOf(to);
  return { kind: 'changed', name: to.name, fields, restarts };
}

/** Each family has a virtual MAC, or adverts, of its own: one more or less is more than a change of addresses. */
const familiesOf = ({ addresses }: VirtualRouterConfig): string =>
  [...new Set(addresses.map(({ family }) => family))].sort().join();

function diffNamed<Item extends { readonly name: string }, Change extends { readonly kind: 'changed' }>(
  before: readonly Item[],
  after: readonly Item[],
  compare: (from: Item, to: Item) => Change | undefined,
): (Change | CameOrWent)[] {
  const old = new Map(before.map((item) => [item.name, item]));
  const present = new Set(after.map(({ name }) => name));
  const removed = before
    .filter(({ name }) => !present.has(name))
    .map(({ name }): CameOrWent => ({ kind: 'removed', name }));
  const rest = after.flatMap((item): (Change | CameOrWent)[] => {
    const from = old.get(item.name);
    if (from === undefined) return [{ kind: 'added', name: item.name }];
    const change = compare(from, item);
    return change === undefined ? [] : [change];
  });
  return [...removed, ...rest];
}

function diffFields(from: object, to: object, skipped: ReadonlySet<string> = new Set()): FieldChange[] {
  const old = new Map<string, unknown>(Object.entries(from));
  const fresh = new Map<string, unknown>(Object.entries(to));
  const names = [...new Set([...old.keys(), ...fresh.keys()])].filter((name) => !skipped.has(name));
  return names.flatMap((name) => {
    const [a, b] = [old.get(name), fresh.get(name)];
    return canonical(a) === canonical(b) ? [] : [{ field: name, from: show(name, a), to: show(name, b) }];
  });
}

/** The same text for the same value, whatever the order of its keys. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'object' && part !== null && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
        : part,
    ) ?? 'none'
  );
}

function show(name: string, value: unknown): string {
  if (value === undefined) return 'none';
  if (name.endsWith('Ms') && typeof value === 'number') return formatDuration(value);
  if (name === 'addresses' && Array.isArray(value)) {
    const texts = (value as { readonly address: string; readonly prefixLength: number }[]).map(
      ({ address, prefixLength }) => `${address}/${prefixLength}`,
    );
    return `[${texts.join(', ')}]`;
  }
  return typeof value === 'string' || typeof value === 'number' ? String(value) : canonical(value);
}
