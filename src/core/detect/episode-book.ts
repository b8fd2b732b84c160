import type { EpisodeKind, Evidence, Sighting } from './episode.js';

/**
 * Sightings become episodes: one that begins is told once, and once when it is over. Between the two nothing is told,
 * however often it is seen, so that whoever sends 50,000 forged frames a second fills neither the memory nor the log.
 *
 *   sightings ──► suspected ──(enough of them within a time)──► open ──(quiet for a time, or told that it is over)──► ended
 *
 * Of each kind a virtual router has at most `subjectsMax` subjects; whatever comes beyond is one subject more, `others`.
 */

interface Habit {
  /** So many sightings make an episode … */
  readonly sightings: number;
  /** … within this time. */
  readonly withinMs: number;
  /** It is over when nothing was seen for so long; longer than the probes, so that it does not come and go. */
  readonly quietMs: number;
}

const habits: Readonly<Record<EpisodeKind, Habit>> = {
  // What asks twice before it is sure asks in the prober; here one sighting is one.
  split_brain: { sightings: 1, withinMs: 1000, quietMs: 15_000 },
  wrong_mac: { sightings: 1, withinMs: 1000, quietMs: 15_000 },
  // Frames of a former master may be on their way still.
  virtual_mac_leak: { sightings: 3, withinMs: 20_000, quietMs: 30_000 },
  duplicate_id: { sightings: 2, withinMs: 60_000, quietMs: 30_000 },
  advert_path_lost: { sightings: 1, withinMs: 1000, quietMs: 60_000 },
  sysctl_drift: { sightings: 1, withinMs: 1000, quietMs: 10_000 },
  foreign_manager: { sightings: 1, withinMs: 1000, quietMs: 60_000 },
};

export const subjectsMax = 8;
const others = 'others';

export interface OpenEpisode extends Sighting {
  readonly sinceMs: number;
  readonly sightings: number;
}

export type EpisodeNews =
  | { readonly began: true; readonly episode: OpenEpisode }
  | { readonly began: false; readonly episode: OpenEpisode; readonly durationMs: number; readonly reason: string };

interface Entry {
  sighting: Sighting;
  isOpen: boolean;
  /** Of the first sighting. */
  sinceMs: number;
  lastMs: number;
  count: number;
}

export class EpisodeBook {
  readonly #onNews: (news: EpisodeNews) => void;
  readonly #entries = new Map<string, Entry>();

  constructor(onNews: (news: EpisodeNews) => void) {
    this.#onNews = onNews;
  }

  /** Something was seen. What is told of an open episode is what was seen first. */
  saw(seen: Sighting, atMs: number): void {
    const sighting = this.#placed(seen);
    const key = keyOf(sighting);
    const known = this.#entries.get(key);
    const { sightings, withinMs } = habits[sighting.kind];
    const isStale = known !== undefined && !known.isOpen && atMs - known.sinceMs > withinMs;
    const entry =
      known === undefined || isStale ? { sighting, isOpen: false, sinceMs: atMs, lastMs: atMs, count: 0 } : known;
    entry.count += 1;
    entry.lastMs = atMs;
    this.#entries.set(key, entry);
    if (entry.isOpen || entry.count < sightings) return;
    entry.isOpen = true;
    this.#onNews({ began: true, episode: describe(entry) });
  }

  /** Ends what has not been seen for long enough, and forgets what was only suspected. */
  settle(atMs: number): void {
    for (const [key, entry] of this.#entries) {
      const { quietMs, withinMs } = habits[entry.sighting.kind];
      if (atMs - entry.lastMs <= (entry.isOpen ? quietMs : withinMs)) continue;
      this.#entries.delete(key);
      if (entry.isOpen) this.#end(entry, entry.lastMs, 'not seen any more');
    }
  }

  /** It is known to be over. */
  end(about: Pick<Sighting, 'kind' | 'vr' | 'subject'>, reason: string, atMs: number): void {
    const key = keyOf(about);
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    if (entry?.isOpen === true) this.#end(entry, atMs, reason);
  }

  /** Everything about a virtual router is over: it is not served here any more. */
  endAll(vr: string | undefined, reason: string, atMs: number, kind?: EpisodeKind): void {
    for (const { sighting } of [...this.#entries.values()]) {
      if (sighting.vr === vr && (kind === undefined || sighting.kind === kind)) this.end(sighting, reason, atMs);
    }
  }

  isOpen(kind: EpisodeKind, vr: string | undefined): boolean {
    for (const { isOpen, sighting } of this.#entries.values()) {
      if (isOpen && sighting.kind === kind && sighting.vr === vr) return true;
    }
    return false;
  }

  get open(): readonly OpenEpisode[] {
    return [...this.#entries.values()].filter(({ isOpen }) => isOpen).map(describe);
  }

  /** Suspected ones too: what the memory holds. */
  get size(): number {
    return this.#entries.size;
  }

  #end(entry: Entry, atMs: number, reason: string): void {
    const durationMs = Math.max(0, atMs - entry.sinceMs);
    this.#onNews({ began: false, episode: describe(entry), durationMs, reason });
  }

  /** Under its own subject, or under that of all for whom there is no place. */
  #placed(sighting: Sighting): Sighting {
    if (this.#entries.has(keyOf(sighting))) return sighting;
    let alike = 0;
    for (const { sighting: other } of this.#entries.values()) {
      if (other.kind === sighting.kind && other.vr === sighting.vr) alike += 1;
    }
    return alike < subjectsMax ? sighting : { ...sighting, subject: others };
  }
}

const keyOf = ({ kind, vr, subject }: Pick<Sighting, 'kind' | 'vr' | 'subject'>): string =>
  `${kind}\n${vr ?? ''}\n${subject}`;

const describe = ({ sighting, sinceMs, count }: Entry): OpenEpisode => ({
  kind: sighting.kind,
  vr: sighting.vr,
  subject: sighting.subject,
  evidence: sighting.evidence satisfies readonly Evidence[],
  sinceMs,
  sightings: count,
});
