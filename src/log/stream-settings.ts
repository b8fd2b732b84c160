import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import type { LogNames } from './subjects.js';

/** What Koi asks of a stream. */
export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly replicas: number;
  /** Keep only the newest message of each subject (leases); otherwise keep everything for ever. */
  readonly compacted: boolean;
}

export function eventStream(names: LogNames, replicas: number): StreamSettings {
  return { name: names.stream, subjects: names.streamSubjects, replicas, compacted: false };
}

export function leaseStream(names: LogNames, replicas: number): StreamSettings {
  return { name: names.leaseStream, subjects: names.leaseStreamSubjects, replicas, compacted: true };
}

const duplicateWindowNs = 120 * 1e9;

/**
 * `discard: new` on the event stream: were a limit ever reached, the server must refuse the new event, which is seen at
 * once, rather than forget old ones, which is not. Messages can be neither deleted nor purged. A lease stream replaces
 * a node's lease by the next one, so it must discard the old.
 */
export function desiredConfig(settings: StreamSettings): Partial<StreamConfig> & { name: string } {
  return {
    name: settings.name,
    subjects: [...settings.subjects],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: settings.compacted ? DiscardPolicy.Old : DiscardPolicy.New,
    max_age: 0,
    max_msgs: -1,
    max_bytes: -1,
    max_msgs_per_subject: settings.compacted ? 1 : -1,
    num_replicas: settings.replicas,
    duplicate_window: duplicateWindowNs,
    deny_delete: true,
    deny_purge: true,
    allow_rollup_hdrs: false,
    allow_direct: false,
    no_ack: false,
    max_msg_size: -1,
  };
}

/** Settings that a server lets a stream change later. An operator's `max_bytes` is left alone: `discard: new` is safe with it. */
const mendable = [
  'subjects',
  'discard',
  'max_age',
  'max_msgs',
  'max_msgs_per_subject',
  'duplicate_window',
  'deny_delete',
  'deny_purge',
  'allow_direct',
  'no_ack',
  'max_msg_size',
] as const;
const fixed = ['storage', 'retention', 'allow_rollup_hdrs'] as const;
/** What newer servers can do to a stream, none of which an append could live with; absent from one that Koi made. */
const foreign = ['subject_transform', 'republish', 'allow_msg_counter', 'allow_msg_schedules'] as const;

export type StreamVerdict =
  | { readonly kind: 'fit'; readonly warnings: readonly string[] }
  | { readonly kind: 'mend'; readonly update: Partial<StreamConfig>; readonly fields: readonly string[] }
  | { readonly kind: 'unfit'; readonly problem: string };

/** Compares an existing stream with what Koi needs: fine, to be updated in place, or not to be used, naming the field. */
export function judgeStream(existing: StreamConfig, settings: StreamSettings): StreamVerdict {
  const wanted = desiredConfig(settings);
  const unfit = (field: string, has: unknown, needs: unknown): StreamVerdict => ({
    kind: 'unfit',
    problem:
      `stream ${settings.name} has ${field} ${JSON.stringify(has)} but needs ${JSON.stringify(needs)}; ` +
      `it was not made by koi: rename it or remove it (nats stream rm ${settings.name}), koi then makes its own`,
  });
  for (const field of fixed) {
    if (differs(existing[field], wanted[field])) return unfit(field, existing[field], wanted[field]);
  }
  const { persist_mode: persistence, ...others } = existing as StreamConfig & Readonly<Record<string, unknown>>;
  // A server from 2.12 on then confirms before it writes.
  if (persistence === 'async') return unfit('persist_mode', persistence, 'default');
  for (const field of foreign) {
    if ((others[field] ?? false) !== false) return unfit(field, others[field], null);
  }
  if (existing.sealed) return unfit('sealed', true, false);
  if (existing.mirror !== undefined) return unfit('mirror', existing.mirror.name, null);
  if (existing.sources !== undefined && existing.sources.length > 0) {
    return unfit(
      'sources',
      existing.sources.map((source) => source.name),
      [],
    );
  }
  const fields: string[] = mendable.filter((field) => differs(existing[field], wanted[field]));
  if (existing.num_replicas < settings.replicas) fields.push('num_replicas');
  if (fields.length > 0) {
    const update = Object.fromEntries(fields.map((field) => [field, wanted[field as keyof typeof wanted]]));
    return { kind: 'mend', update: { ...existing, ...update }, fields };
  }
  // Lowering it is left to the operator: two nodes with different configurations would otherwise change it in turn.
  const more = existing.num_replicas > settings.replicas;
  return {
    kind: 'fit',
    warnings: more
      ? [`stream ${settings.name} has ${existing.num_replicas} replicas, log.replicas says ${settings.replicas}`]
      : [],
  };
}

function differs(has: unknown, needs: unknown): boolean {
  if (Array.isArray(has) && Array.isArray(needs)) {
    return JSON.stringify([...has].sort()) !== JSON.stringify([...needs].sort());
  }
  return (has ?? false) !== (needs ?? false);
}
