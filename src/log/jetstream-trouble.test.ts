import { type ClusterInfo, JetStreamApiError } from '@nats-io/jetstream';
import { TimeoutError } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { describeTrouble, hasMajority, judgeFailure, withDeadline } from './jetstream-trouble.js';
import { eventStream } from './stream-settings.js';
import { logNames } from './subjects.js';

const apiError = (code: number, status = 400): JetStreamApiError =>
  new JetStreamApiError({ code: status, err_code: code, description: 'said so' });
const one = eventStream(logNames('edge'), 1);
const three = eventStream(logNames('edge'), 3);

describe('an append that fails', () => {
  it.each([
    ['no answer', new TimeoutError(), { kind: 'unavailable', reason: 'timeout', maybeStored: true }],
    ['another event stands there', apiError(10071), { kind: 'conflict' }],
    ['another append is under way there', apiError(10164), { kind: 'conflict' }],
    ['too large', apiError(10054), { kind: 'unavailable', reason: 'too_large', maybeStored: false }],
    ['refused', apiError(10077), { kind: 'unavailable', reason: 'rejected', maybeStored: false }],
    ['failed within the server', apiError(10077, 503), { kind: 'unavailable', reason: 'rejected', maybeStored: true }],
    [
      'not allowed',
      new Error('Permissions Violation for Publish'),
      { kind: 'unavailable', reason: 'rejected', maybeStored: false },
    ],
    ['anything else', new Error('socket'), { kind: 'unavailable', reason: 'disconnected', maybeStored: true }],
  ])('with %s', (_, error, result) => {
    expect(judgeFailure(error)).toEqual(result);
  });
});

describe('a stream that does not answer', () => {
  it('may have lost its majority, where it has more than one server', () => {
    expect(describeTrouble(new TimeoutError(), one)).toBe('JetStream does not answer within 2000 ms');
    expect(describeTrouble(new TimeoutError(), three)).toContain("fewer than 2 of the log's 3 servers can be reached");
    expect(describeTrouble(apiError(10074), three)).toContain('this nats-server is not in a cluster');
    expect(describeTrouble(new Error('socket'), one)).toBe('stream KOI_EDGE: socket');
  });

  it('is heard by those whose leader has heard of them lately', () => {
    const follower = (activeMs: number, offline = false) => ({
      name: 'x',
      current: true,
      offline,
      active: activeMs * 1e6,
      lag: 0,
    });
    const cluster = (...replicas: ReturnType<typeof follower>[]): ClusterInfo => ({ replicas });
    expect(hasMajority(cluster(follower(100), follower(60_000)), 3)).toBe(true);
    expect(hasMajority(cluster(follower(5_000), follower(60_000)), 3)).toBe(false);
    expect(hasMajority(cluster(follower(100, true), follower(100, true)), 3)).toBe(false);
    expect(hasMajority(undefined, 1)).toBe(true);
  });

  it('is waited for no longer than said', async () => {
    await expect(withDeadline(new Promise(() => undefined), 1, 'KOI_EDGE')).rejects.toMatchObject({ code: 'timeout' });
    expect(await withDeadline(Promise.resolve(7), 1000, 'KOI_EDGE')).toBe(7);
  });
});
