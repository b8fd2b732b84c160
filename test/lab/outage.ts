/** One echo request, and when its answer came. Times in milliseconds of the monotonic clock. */
export interface Probe {
  readonly sentMs: number;
  answeredMs: number | undefined;
}

/** What the client went through in a stretch of time. */
export interface ClientView {
  /** Longest time from a probe that should have been answered at once to the next answer of any probe. */
  readonly outageMs: number;
  /** When that stretch began, and whether it was still going on at the end. */
  readonly outageStartMs: number | undefined;
  readonly outageOpen: boolean;
  readonly sent: number;
  /** Probes never answered. */
  readonly lost: number;
  /** When they were sent. */
  readonly lostSentMs: readonly number[];
  /** Probes answered, but later than `lateAfterMs`: they waited in a queue somewhere. */
  readonly late: number;
}

export const lateAfterMs = 10;

/**
 * Judges the probes of a stretch of time, `probes` in the order they were sent.
 *
 * An outage starts when the first probe after the last answered one is *sent*, and ends when the next answer *arrives*:
 * with plain losses that is the gap between the answered probes' send times less the period, to a round trip. It stays
 * right in two cases where that gap does not: probes that waited in the client's ARP queue and were answered late do
 * not shorten the outage, and a prober that got no processor does not make one up.
 */
export function judgeClient(probes: readonly Probe[], untilMs: number): ClientView {
  const answers = probes
    .flatMap((probe, index) => (probe.answeredMs === undefined ? [] : [{ index, atMs: probe.answeredMs }]))
    .sort((a, b) => a.atMs - b.atMs);

  let worst = { lengthMs: 0, startMs: undefined as number | undefined, open: false };
  const consider = (waiting: Probe | undefined, endMs: number, open: boolean) => {
    if (waiting === undefined || endMs - waiting.sentMs <= worst.lengthMs) return;
    worst = { lengthMs: endMs - waiting.sentMs, startMs: waiting.sentMs, open };
  };
  let latest = -1;
  for (const answer of answers) {
    // An answer to an older probe than the latest answered one ends no waiting.
    if (answer.index <= latest) continue;
    consider(probes[latest + 1], answer.atMs, false);
    latest = answer.index;
  }
  consider(probes[latest + 1], untilMs, true);

  return {
    outageMs: worst.lengthMs,
    outageStartMs: worst.startMs,
    outageOpen: worst.open,
    sent: probes.length,
    lost: probes.length - answers.length,
    lostSentMs: probes.flatMap(({ sentMs, answeredMs }) => (answeredMs === undefined ? [sentMs] : [])),
    late: probes.filter((probe) => probe.answeredMs !== undefined && probe.answeredMs - probe.sentMs > lateAfterMs)
      .length,
  };
}
