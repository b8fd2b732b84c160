import { type ClusterInfo, JetStreamApiError } from '@nats-io/jetstream';
import { TimeoutError } from '@nats-io/transport-node';
import { KoiError } from '../koi-error.js';
import type { AppendResult, UnavailableReason } from './port.js';
import type { StreamSettings } from './stream-settings.js';

export const managementTimeoutMs = 2000;
/** A leader hears from its followers every second. */
const unheardAfterMs = 5_000;

/** `StreamWrongLastSequence`, and its twin for an expectation on a subject with another append under way. */
const conflictCodes: readonly number[] = [10071, 10164];
const streamNotFoundCode = 10059;
const tooLargeCode = 10054;
const replicasNeedClusterCode = 10074;

export const unavailable = (reason: UnavailableReason, maybeStored: boolean): AppendResult => ({
  kind: 'unavailable',
  reason,
  maybeStored,
});

/** The class is not exported; the name is. */
const isNotEnabled = (error: unknown): boolean => error instanceof Error && error.name === 'JetStreamNotEnabled';

export const isStreamNotFound = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === streamNotFoundCode;

/** What became of an append whose publication failed with `error`. */
export function judgeFailure(error: unknown): AppendResult {
  if (error instanceof TimeoutError) return unavailable('timeout', true);
  // The client's word for "no responders": nobody leads the stream just now, or there is none.
  if (isNotEnabled(error)) return unavailable('no_responders', false);
  if (error instanceof JetStreamApiError) {
    if (conflictCodes.includes(error.code)) return { kind: 'conflict' };
    if (error.code === tooLargeCode) return unavailable('too_large', false);
    // A server that fails within itself does not say how far the event has come.
    return unavailable('rejected', error.status >= 500);
  }
  const refused = error instanceof Error && /permissions violation/i.test(`${error.message} ${String(error.cause)}`);
  return refused ? unavailable('rejected', false) : unavailable('disconnected', true);
}

export const tooFewServers = (replicas: number): string =>
  `fewer than ${Math.floor(replicas / 2) + 1} of the log's ${replicas} servers can be reached, or they are electing; start those that are down`;

/** As the leader sees its followers. */
export function hasMajority(cluster: ClusterInfo | undefined, replicas: number): boolean {
  const followers = cluster?.replicas ?? [];
  const heard = followers.filter(({ offline, active }) => !offline && active / 1e6 < unheardAfterMs);
  return heard.length + 1 > replicas / 2;
}

/** Why a stream does not answer as it should, for people. */
export function describeTrouble(error: unknown, settings: StreamSettings): string {
  if (isNotEnabled(error)) {
    return 'JetStream does not answer: it is off (start nats-server with -js) or has no leader at present';
  }
  if (error instanceof TimeoutError) {
    const silence = `JetStream does not answer within ${managementTimeoutMs} ms`;
    if (settings.replicas < 2) return silence;
    return `${silence}: ${tooFewServers(settings.replicas)}`;
  }
  if (error instanceof JetStreamApiError && error.code === replicasNeedClusterCode) {
    return `log.replicas is ${settings.replicas}, but this nats-server is not in a cluster; set log.replicas: 1 or cluster it`;
  }
  return `stream ${settings.name}: ${error instanceof Error ? error.message : String(error)}`;
}

/** @throws KoiError `timeout` where `promise` has not settled by then */
export async function withDeadline<T>(promise: Promise<T>, deadlineMs: number, stream: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new KoiError('timeout', `stream ${stream} was silent for ${deadlineMs} ms while being read`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
