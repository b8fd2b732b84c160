import type { EpisodeKind, Sighting } from '../core/detect/episode.js';
import { EpisodeBook, type EpisodeNews, type OpenEpisode } from '../core/detect/episode-book.js';
import type { EpisodeMessage } from '../ipc/protocol.js';
import { linkManagers } from '../kernel/link-managers.js';
import type { KeptNews } from './agent-server.js';

export interface DetectionOptions {
  readonly keep: (news: KeptNews) => void;
  readonly now: () => number;
  readonly wallNow: () => number;
  readonly onBegan?: (episode: OpenEpisode) => void;
  readonly log: { warn(facts: object, message: string): void; info(facts: object, message: string): void };
}

/** Everything that the detectors of this node see, as episodes: told to the agent, and to whoever reads the log. */
export class Detection {
  readonly #options: DetectionOptions;
  readonly #book: EpisodeBook;

  constructor(options: DetectionOptions) {
    this.#options = options;
    this.#book = new EpisodeBook((news) => this.#tell(news));
  }

  saw(sighting: Sighting): void {
    this.#book.saw(sighting, this.#options.now());
  }

  end(about: Pick<Sighting, 'kind' | 'vr' | 'subject'>, reason: string): void {
    this.#book.end(about, reason, this.#options.now());
  }

  /** The virtual router is gone, or of one kind nothing can be seen any more. */
  endAll(vr: string, reason: string, kind?: EpisodeKind): void {
    this.#book.endAll(vr, reason, this.#options.now(), kind);
  }

  isOpen(kind: EpisodeKind, vr: string): boolean {
    return this.#book.isOpen(kind, vr);
  }

  /** Ends what is quiet; to be called every second. */
  settle(): void {
    this.#book.settle(this.#options.now());
  }

  /** Somebody else changed what Koi has put into the kernel. */
  foreignChange(vr: string, kind: string, object: string, parent: { readonly ifindex: number | undefined }): void {
    const managers = parent.ifindex === undefined ? [] : linkManagers(parent.ifindex);
    const evidence = [
      { key: 'change', value: kind },
      { key: 'object', value: object },
      ...(managers.length === 0 ? [] : [{ key: 'managers', value: managers.join(',') }]),
    ];
    this.saw({ kind: 'foreign_manager', vr, subject: kind, evidence });
  }

  drifted(name: string, key: string, found: number, repaired: boolean): void {
    const evidence = [
      { key: 'interface', value: name },
      { key: 'sysctl', value: key },
      { key: 'found', value: String(found) },
      { key: 'repaired', value: String(repaired) },
    ];
    this.saw({ kind: 'sysctl_drift', vr: undefined, subject: `${name} ${key}`, evidence });
  }

  /** For an agent that comes later. */
  get open(): readonly EpisodeMessage[] {
    return this.#book.open.map((episode) => this.#message(episode));
  }

  #message({ kind, vr, subject, evidence, sinceMs }: OpenEpisode): EpisodeMessage {
    const { now, wallNow } = this.#options;
    const sinceWallMs = wallNow() - (now() - sinceMs);
    return { kind, vr: vr ?? null, subject, evidence: evidence.map((item) => ({ ...item })), sinceWallMs };
  }

  #tell(news: EpisodeNews): void {
    const { keep, now, wallNow, log, onBegan } = this.#options;
    const episode = this.#message(news.episode);
    const { kind, vr, subject, evidence } = episode;
    const facts = { vr, kind, subject, evidence: Object.fromEntries(evidence.map(({ key, value }) => [key, value])) };
    const happened = { wallMs: wallNow(), monotonicMs: now() };
    if (news.began) {
      log.warn(facts, `${kind} seen`);
      onBegan?.(news.episode);
      keep({ type: 'episode', ...happened, episode, ended: null });
      return;
    }
    const { durationMs, reason } = news;
    const { sightings } = news.episode;
    log.info({ ...facts, durationMs, sightings, reason }, `${kind} is over`);
    keep({ type: 'episode', ...happened, episode, ended: { durationMs, sightings, reason } });
  }
}
