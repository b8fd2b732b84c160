import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import { describe, expect, it } from 'vitest';
import { desiredConfig, eventStream, judgeStream, leaseStream } from './stream-settings.js';
import { logNames } from './subjects.js';

const settings = eventStream(logNames('edge'), 1);
/** What a server says of a stream that koi made. */
const made: StreamConfig = {
  max_consumers: -1,
  max_msg_size: -1,
  discard_new_per_subject: false,
  sealed: false,
  mirror_direct: false,
  ...desiredConfig(settings),
} as StreamConfig;

describe('judgeStream', () => {
  it('takes its own, also where the operator has set a limit or more replicas', () => {
    expect(judgeStream(made, settings)).toEqual({ kind: 'fit', warnings: [] });
    expect(judgeStream({ ...made, max_bytes: 1e9 }, settings).kind).toBe('fit');
    const replicated = judgeStream({ ...made, num_replicas: 3 }, settings);
    expect(replicated).toEqual({ kind: 'fit', warnings: [expect.stringContaining('3 replicas')] });
  });

  it.each([
    ['max_age', { max_age: 1 }],
    ['max_msgs', { max_msgs: 100 }],
    ['max_msgs_per_subject', { max_msgs_per_subject: 1 }],
    ['discard', { discard: DiscardPolicy.Old }],
    ['deny_delete', { deny_delete: false }],
    ['deny_purge', { deny_purge: false }],
    ['duplicate_window', { duplicate_window: 1e9 }],
    ['subjects', { subjects: ['koi.edge.own.*'] }],
    ['num_replicas', { num_replicas: 0 }],
    ['allow_direct', { allow_direct: true }],
    ['no_ack', { no_ack: true }],
    ['max_msg_size', { max_msg_size: 100 }],
  ] as const)('mends %s', (field, change) => {
    const verdict = judgeStream({ ...made, ...change } as StreamConfig, settings);
    expect(verdict).toMatchObject({ kind: 'mend', fields: [field] });
    if (verdict.kind === 'mend') expect(judgeStream(verdict.update as StreamConfig, settings).kind).toBe('fit');
  });

  it.each([
    ['storage', { storage: StorageType.Memory }],
    ['retention', { retention: RetentionPolicy.Workqueue }],
    ['sealed', { sealed: true }],
    ['mirror', { mirror: { name: 'other' } }],
    ['sources', { sources: [{ name: 'other' }] }],
    ['allow_rollup_hdrs', { allow_rollup_hdrs: true }],
    ['persist_mode', { persist_mode: 'async' }],
    ['subject_transform', { subject_transform: { src: 'koi.edge.>', dest: 'x.>' } }],
    ['allow_msg_counter', { allow_msg_counter: true }],
  ] as const)('refuses %s by name, with a remedy', (field, change) => {
    const verdict = judgeStream({ ...made, ...change } as StreamConfig, settings);
    expect(verdict).toMatchObject({ kind: 'unfit', problem: expect.stringContaining(`KOI_EDGE has ${field} `) });
  });

  it('keeps one message a subject for leases, replacing the old', () => {
    expect(desiredConfig(leaseStream(logNames('edge'), 3))).toMatchObject({
      name: 'KOI_EDGE_LEASE',
      max_msgs_per_subject: 1,
      discard: DiscardPolicy.Old,
      num_replicas: 3,
    });
  });
});
