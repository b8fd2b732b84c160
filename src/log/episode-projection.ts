import { isAgentEpisode } from '../core/detect/episode.js';
import type { BootId, NodeId } from '../core/identity.js';
import type { ObservationEvent } from './event.js';

/** An episode that a node has told of and not taken back. */
export interface LogEpisode {
  readonly node: NodeId;
  readonly boot: BootId;
  readonly vr: string | undefined;
  readonly kind: string;
  readonly subject: string;
  readonly evidence: readonly { readonly key: string; readonly value: string }[];
  /** By the node's own clock. */
  readonly sinceMs: number;
}

export type Episodes = ReadonlyMap<string, LogEpisode>;

/** A log full of alarms must not fill the memory of whoever reads it; the oldest go first. */
export const episodesMax = 512;

/** The open episodes after one more event. What a dataplane saw ends with it, since nobody is left to take it back. */
export function foldEpisode(episodes: Episodes, { node, boot, vr, wallTimeMs, payload }: ObservationEvent): Episodes {
  if (payload.type === 'nodeStopped') return without(episodes, (episode) => episode.node === node);
  if (payload.type === 'nodeStarted') return without(episodes, (each) => each.node === node && each.boot !== boot);
  if (payload.type === 'dataplaneLost') {
    return without(episodes, (each) => each.node === node && !isAgentEpisode(each));
  }
  if (payload.type !== 'episodeBegan' && payload.type !== 'episodeEnded') return episodes;
  const { kind, subject = '' } = payload;
  const key = [node, kind, vr ?? '', subject].join('\n');
  const next = new Map(episodes);
  next.delete(key);
  if (payload.type === 'episodeEnded') return next;
  const [oldest] = next.keys();
  if (next.size >= episodesMax && oldest !== undefined) next.delete(oldest);
  return next.set(key, { node, boot, vr, kind, subject, evidence: payload.evidence, sinceMs: wallTimeMs });
}

function without(episodes: Episodes, isOver: (episode: LogEpisode) => boolean): Episodes {
  const left = [...episodes].filter(([, episode]) => !isOver(episode));
  return left.length === episodes.size ? episodes : new Map(left);
}
