import { demuxFrame } from '../../src/wire/demux.js';
import type { CapturedFrame } from '../interop/pcap.js';

/** What a router's adverts of one kind say; the priority 0 of a farewell is a kind of its own. */
export interface AdvertKind {
  readonly vrid: number;
  readonly version: number;
  readonly family: 4 | 6;
  readonly priority: number;
  readonly intervalMs: number;
  readonly addresses: readonly string[];
  readonly etherSource: string;
  readonly destination: string;
}

export interface SeenAdvert extends AdvertKind {
  readonly atSeconds: number;
}

/** The adverts of a capture, oldest first. A damaged one is an error: neither program sends such. */
export function advertsOf(frames: readonly CapturedFrame[]): SeenAdvert[] {
  return frames.flatMap(({ atSeconds, bytes }) => {
    const seen = demuxFrame(bytes);
    if (seen.kind !== 'vrrp') return [];
    if (!seen.advert.ok) throw new Error(`a damaged advert on the wire: ${seen.advert.reason}`);
    const { vrid, version, family, priority, intervalMs, addresses } = seen.advert.value;
    const { etherSource, destination } = seen;
    return [{ vrid, version, family, priority, intervalMs, addresses, etherSource, destination, atSeconds }];
  });
}

/** Each kind once, in one order: what two programs say can be compared. */
export function kindsOf(adverts: readonly SeenAdvert[]): AdvertKind[] {
  const kinds = adverts.map(({ atSeconds: _, ...kind }) => kind);
  const unique = new Map(kinds.map((kind) => [JSON.stringify(kind), kind]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, kind]) => kind);
}

/** The median time between one advert and the next of a kind, in milliseconds; a doubled one counts once. */
export function spacingMs(adverts: readonly SeenAdvert[]): number {
  const gaps = adverts
    .slice(1)
    .map(({ atSeconds }, at) => (atSeconds - (adverts[at]?.atSeconds ?? 0)) * 1_000)
    .filter((gap) => gap > 5)
    .sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length / 2)] ?? Number.NaN;
}
