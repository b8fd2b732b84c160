import type { ChecksumTally } from '../observe/snapshot.js';
import type { ChecksumForm } from '../wire/vrrp.js';

interface Peer {
  readonly counts: Record<ChecksumForm, number>;
  readonly lastAtMs: Record<ChecksumForm, number>;
  /** A form not used for so long has been given up. */
  windowMs: number;
  /** The advert that may be repeated in the other form. */
  single: { readonly form: ChecksumForm; readonly priority: number; readonly atMs: number } | undefined;
}

/** What an advert says, as far as a repetition has to say the same. */
export interface Said {
  readonly form: ChecksumForm;
  readonly priority: number;
  readonly intervalMs: number;
}

/** How often adverts of a form came, and when the last one did. */
export interface FormHeard {
  readonly form: ChecksumForm;
  readonly count: number;
  readonly lastAtMs: number;
}

const peersMax = 16;
const windowIntervals = 10;
const bothForms: readonly ChecksumForm[] = ['pseudo-header', 'rfc9568'];

/**
 * Who sums VRRPv3 adverts over IPv4 how. keepalived and FRR send with a pseudo-header and by default refuse adverts
 * without; RFC 9568 wants none, and its routers refuse those with. No one form is heard by all.
 */
export class ChecksumKnowledge {
  readonly #peers = new Map<string, Peer>();

  /**
   * Counts an advert. False where it only repeats, in the other form, the one before it: its sender does not know what
   * its peers understand, and so its form is no evidence of what it understands itself. Whoever says something else, above
   * all that it is gone, repeats nothing, however soon it comes.
   */
  heard(peer: string, { form, priority, intervalMs }: Said, atMs: number): boolean {
    const known = this.#peers.get(peer) ?? this.#greet(peer);
    const { single } = known;
    known.counts[form] += 1;
    known.lastAtMs[form] = atMs;
    known.windowMs = windowIntervals * intervalMs;
    const isSame = single?.form === otherForm(form) && single.priority === priority;
    const repeats = isSame && atMs - single.atMs < ChecksumKnowledge.twinMs(intervalMs);
    known.single = repeats ? undefined : { form, priority, atMs };
    return !repeats;
  }

  /** Within what time the other form repeats an advert that says so. */
  static twinMs(intervalMs: number): number {
    return intervalMs / 2;
  }

  /** When the peer's last advert was heard, where it was of this form and repeated none: the other may repeat it yet. */
  singleAtMs(peer: string, { form, priority }: Said): number | undefined {
    const single = this.#peers.get(peer)?.single;
    return single?.form === form && single.priority === priority ? single.atMs : undefined;
  }

  /** Adverts that were heard elsewhere, and judged as {@link heard} does; `single`: the one that may be repeated yet. */
  heardMeanwhile(
    peer: string,
    { priority, intervalMs }: Omit<Said, 'form'>,
    forms: readonly FormHeard[],
    single: { readonly form: ChecksumForm; readonly atMs: number } | undefined,
  ): void {
    if (forms.length === 0) return;
    const known = this.#peers.get(peer) ?? this.#greet(peer);
    for (const { form, count, lastAtMs } of forms) {
      known.counts[form] += count;
      known.lastAtMs[form] = lastAtMs;
    }
    known.windowMs = windowIntervals * intervalMs;
    known.single = single === undefined ? undefined : { ...single, priority };
  }

  /**
   * The forms that the peers heard so far understand: those they use. Where they use both, or nobody has been heard,
   * both: a backup that is never heard must hear the master all the same.
   */
  forms(): readonly ChecksumForm[] {
    const used = bothForms.filter((form) => [...this.#peers.values()].some((peer) => isPlain(peer, form)));
    return used.length === 0 ? bothForms : used;
  }

  tallies(): readonly ChecksumTally[] {
    return [...this.#peers].map(([peer, { counts }]) => ({
      peer,
      rfc9568: counts.rfc9568,
      pseudoHeader: counts['pseudo-header'],
    }));
  }

  #greet(peer: string): Peer {
    if (this.#peers.size >= peersMax) {
      const [oldest] = [...this.#peers].sort(([, a], [, b]) => newestMs(a) - newestMs(b));
      if (oldest !== undefined) this.#peers.delete(oldest[0]);
    }
    const never = Number.NEGATIVE_INFINITY;
    const greeted: Peer = {
      counts: { rfc9568: 0, 'pseudo-header': 0 },
      lastAtMs: { rfc9568: never, 'pseudo-header': never },
      windowMs: 0,
      single: undefined,
    };
    this.#peers.set(peer, greeted);
    return greeted;
  }
}

const otherForm = (form: ChecksumForm): ChecksumForm => (form === 'rfc9568' ? 'pseudo-header' : 'rfc9568');

const newestMs = ({ lastAtMs }: Peer): number => Math.max(lastAtMs.rfc9568, lastAtMs['pseudo-header']);

/** Uses this form and not the other: whoever sends both hears both. */
function isPlain({ lastAtMs, windowMs }: Peer, form: ChecksumForm): boolean {
  return lastAtMs[form] > Number.NEGATIVE_INFINITY && lastAtMs[form] - lastAtMs[otherForm(form)] > windowMs;
}
