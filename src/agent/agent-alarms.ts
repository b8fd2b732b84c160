import type { Logger } from 'pino';
import { logSubject } from '../core/detect/episode.js';
import type { FoundTogether } from '../core/detect/held-together.js';
import type { DoubleMasters } from '../core/detect/log-masters.js';
import type { KoiMetrics } from '../observe/metrics.js';
import type { AgentEpisode, EpisodeDesk } from './episode-desk.js';
import { evidenceOfTogether } from './held-together-desk.js';
import type { Journal } from './journal.js';

export interface AgentAlarmsOptions {
  readonly episodes: Pick<EpisodeDesk, 'note' | 'noteEnd'>;
  readonly journal: Pick<Journal, 'observe'>;
  readonly metrics: Pick<KoiMetrics, 'splitBrainInLog'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly wallNow: () => number;
}

type About = Pick<AgentEpisode, 'kind' | 'vr' | 'subject'>;

/** What the agent itself, and not its dataplane, finds wrong: an episode each, told to people and to the log. */
export class AgentAlarms {
  readonly #options: AgentAlarmsOptions;

  constructor(options: AgentAlarmsOptions) {
    this.#options = options;
  }

  twoMastersInLog(vr: string, { nodes, evidence }: DoubleMasters): void {
    const { log, metrics } = this.#options;
    log.error({ vr, nodes }, 'the log has two masters that are alive');
    metrics.splitBrainInLog(vr);
    this.#begin({ kind: 'split_brain', vr, subject: logSubject }, evidence);
  }

  noMoreTwoMastersInLog(vr: string, { nodes }: DoubleMasters, durationMs: number): void {
    this.#end({ kind: 'split_brain', vr, subject: logSubject }, durationMs, `no more: ${nodes.join(', ')}`);
  }

  /** Another has held beside this node, and one of the two has let go: an episode that is over when it is known. */
  heldTogether(found: FoundTogether): void {
    const { log, metrics } = this.#options;
    const { vr, rival, togetherMs } = found;
    const about = { kind: 'split_brain', vr, subject: rival };
    log.error({ vr, rival, togetherMs }, 'two masters have served at the same time, says the log');
    metrics.splitBrainInLog(vr);
    this.#begin(about, evidenceOfTogether(found));
    this.#end(about, togetherMs, 'one of the two has let go');
  }

  /** @param difference in words; undefined: this node has what is in force */
  configurationDiffers(vr: string, difference: string | undefined): void {
    const { log } = this.#options;
    const about = { kind: 'configuration_differs', vr, subject: '' };
    if (difference === undefined) {
      log.info({ vr }, 'this node has the configuration that is in force');
      this.#end(about, 0, 'agreed');
      return;
    }
    const remedy = 'give all nodes the same, and koi reload; koi status says who differs in what';
    log.warn({ vr, difference, remedy }, 'this node has another configuration than the one in force');
    this.#begin(about, [{ key: 'difference', value: difference }]);
  }

  logServerDown(why: string): void {
    this.#options.log.error({ why }, "this node's nats-server does not serve");
    this.#begin(logServer, [{ key: 'why', value: why }]);
  }

  logServerUp(outageMs: number): void {
    this.#options.log.info({ outageMs }, "this node's nats-server serves again");
    this.#end(logServer, outageMs, 'it serves again');
  }

  #begin(about: About, evidence: AgentEpisode['evidence']): void {
    const { episodes, journal, wallNow } = this.#options;
    const { kind, vr, subject } = about;
    episodes.note({ ...about, evidence, sinceWallMs: wallNow() });
    journal.observe({ type: 'episodeBegan', kind, subject, evidence }, undefined, vr === null ? {} : { vr });
  }

  #end(about: About, lastedMs: number, reason: string): void {
    const { episodes, journal } = this.#options;
    const { kind, vr, subject } = about;
    episodes.noteEnd(about);
    const payload = { type: 'episodeEnded', kind, subject, durationMs: Math.round(lastedMs), reason } as const;
    journal.observe(payload, undefined, vr === null ? {} : { vr });
  }
}

const logServer: About = { kind: 'log_server_down', vr: null, subject: '' };
