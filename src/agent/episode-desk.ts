import { explainEpisode } from '../core/detect/episode.js';
import type { EpisodeMessage, ToAgent } from '../ipc/protocol.js';
import type { LogEpisode } from '../log/episode-projection.js';
import type { LogState } from '../log/projection.js';
import type { StatusEpisode } from '../observe/status.js';
import type { Observed } from './journal.js';

/** Of this node, by the dataplane or by the agent. */
export type AgentEpisode = Omit<EpisodeMessage, 'evidence'> & {
  readonly evidence: readonly { readonly key: string; readonly value: string }[];
};

/** More than these are not shown: what is wrong is clear by then. */
const ownMax = 256;

/**
 * What is wrong now, as this node's detectors and the log of the others have it. The dataplane's episodes are in the log
 * by the journal; here they are kept for those who ask, also while the log is away.
 */
export class EpisodeDesk {
  readonly #own = new Map<string, EpisodeMessage>();
  readonly #agents = new Map<string, AgentEpisode>();
  /** Something that the agent itself sees: it does not end with a dataplane. */
  note(episode: AgentEpisode): void {
    this.#agents.set(keyOf(episode), episode);
  }

  noteEnd(about: Pick<AgentEpisode, 'kind' | 'vr' | 'subject'>): void {
    this.#agents.delete(keyOf(about));
  }

  /** A dataplane says what it sees; whatever another one saw is over. */
  dataplaneCame({ episodes = [] }: Extract<ToAgent, { type: 'hello' }>): void {
    this.#own.clear();
    for (const episode of episodes) this.#put(episode);
  }

  dataplaneGone(): void {
    this.#own.clear();
  }

  /** Everything that the dataplane tells goes by here; most of it is no episode. */
  heard(message: Observed): void {
    const told = episodeIn(message);
    if (told === undefined) return;
    if (told.isOpen) this.#put(told.episode);
    else this.#own.delete(keyOf(told.episode));
  }

  get own(): readonly AgentEpisode[] {
    return [...this.#own.values(), ...this.#agents.values()];
  }

  /** Masters whose adverts are lost on the way, while they answer and serve. */
  get lostPaths(): readonly { readonly vr: string; readonly peer: string }[] {
    return [...this.#own.values()].flatMap(({ kind, vr, subject: peer }) =>
      kind === 'advert_path_lost' && vr !== null ? [{ vr, peer }] : [],
    );
  }

  /** This node's own, then what the others have in the log and have not taken back. */
  report(node: string, state: LogState): StatusEpisode[] {
    const own = this.own.map(({ kind, vr, subject, evidence, sinceWallMs }) =>
      toStatus({ node, kind, vr, subject, evidence, sinceMs: sinceWallMs }),
    );
    const others = [...state.episodes.values()].filter((episode) => {
      const teller = state.nodes.get(episode.node);
      const isNow = teller !== undefined && !teller.stopped && teller.boot === episode.boot;
      // What this node sees it knows better than the log, which hears of it later.
      return isNow && episode.node !== node;
    });
    return [...own, ...others.map(({ vr, ...episode }) => toStatus({ ...episode, vr: vr ?? null }))];
  }

  #put(episode: EpisodeMessage): void {
    const key = keyOf(episode);
    if (this.#own.size < ownMax || this.#own.has(key)) this.#own.set(key, episode);
  }
}

function episodeIn(message: Observed): { readonly isOpen: boolean; readonly episode: EpisodeMessage } | undefined {
  switch (message.type) {
    case 'episode':
      return { isOpen: message.ended === null, episode: message.episode };
    case 'splitBrain': {
      const { vr, rival: subject, began: isOpen, wallMs: sinceWallMs } = message;
      const evidence = [
        { key: 'source', value: 'advert' },
        { key: 'rival', value: subject },
        ...(message.evidence ?? []),
      ];
      return { isOpen, episode: { kind: 'split_brain', vr, subject, evidence, sinceWallMs } };
    }
    case 'advertPath': {
      const { vr, peer: subject, lost: isOpen, wallMs, durationMs } = message;
      const evidence = [{ key: 'peer', value: subject }];
      return {
        isOpen,
        episode: { kind: 'advert_path_lost', vr, subject, evidence, sinceWallMs: wallMs - durationMs },
      };
    }
    default:
      return undefined;
  }
}

const keyOf = ({ kind, vr, subject }: Pick<EpisodeMessage, 'kind' | 'vr' | 'subject'>): string =>
  [kind, vr ?? '', subject].join('\n');

function toStatus({
  node,
  kind,
  vr,
  subject,
  evidence,
  sinceMs,
}: Omit<LogEpisode, 'vr' | 'boot' | 'node'> & { readonly vr: string | null; readonly node: string }): StatusEpisode {
  const { what, remedy } = explainEpisode(kind);
  return { kind, vr, node, subject, since: new Date(sinceMs).toISOString(), text: what, remedy, evidence };
}
