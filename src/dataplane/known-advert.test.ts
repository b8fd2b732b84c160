import fc from 'fast-check';
import { expect, it } from 'vitest';
import { vrrpRouter } from '../../test/core/router-config.js';
import { electionOf } from '../config/election.js';
import { rulesOf } from '../core/election-rules.js';
import { AF_UNIX, binding, openSocket, SOCK_STREAM } from '../kernel/binding.js';
import { demuxFrame } from '../wire/demux.js';
import { AdvertMemory } from './advert-memory.js';
import { KnownAdvert } from './known-advert.js';
import type { AdvertPacket, ProtocolAdapter } from './protocol-adapter.js';
import { createAdapter } from './protocol-adapter.js';

/*
 * An advert that is judged each time it comes, and one that is counted where it comes in: whoever hears it must not be
 * able to tell the two apart.
 */

/** Any socket will do: what comes in is put before the memory by hand. */
const openHandle = () => openSocket('a socket', AF_UNIX, SOCK_STREAM, 0);

const own = { 4: '10.0.0.1', 6: 'fe80::1' };
const intervalMs = 1000;

/** What one router hears: how many adverts, when the last of them and when the last frame came. */
class Ears {
  nowMs = 0;
  adverts = 0;
  heardAtMs = Number.NEGATIVE_INFINITY;
  lastAtMs = Number.NEGATIVE_INFINITY;
  readonly adapter: ProtocolAdapter;

  constructor() {
    this.adapter = createAdapter(vrrpRouter(), { now: () => this.nowMs, wallNow: () => this.nowMs });
  }

  judge(packet: AdvertPacket, frame: Uint8Array): 'heard' | 'twin' {
    const { kind } = this.adapter.judge(packet, frame, own);
    if (kind === 'refused') throw new Error('refused');
    this.lastAtMs = this.nowMs;
    if (kind === 'twin') return kind;
    this.adverts += 1;
    this.heardAtMs = this.nowMs;
    return kind;
  }

  get all() {
    const { adverts, heardAtMs, lastAtMs, adapter } = this;
    const { candidacy } = rulesOf(electionOf(vrrpRouter()));
    return { adverts, heardAtMs, lastAtMs, checksums: adapter.checksums, frames: adapter.adverts(candidacy, own) };
  }
}

/** As a backup does: what is known is counted, and what is not is judged and known from then on. */
class Known extends Ears {
  readonly #memory = new AdvertMemory('eth1', { set: () => undefined });
  readonly #known: KnownAdvert;
  readonly #handle = openHandle();
  #lastPriority = -1;
  counted = 0;

  constructor() {
    super();
    this.#memory.bind({ handle: this.#handle });
    this.#known = new KnownAdvert({
      memory: this.#memory,
      adapter: () => this.adapter,
      onHeard: ({ adverts, heardAtMs, lastAtMs }) => {
        this.adverts += adverts;
        this.lastAtMs = lastAtMs;
        if (adverts > 0) this.heardAtMs = heardAtMs;
      },
      onSilent: () => undefined,
      onUnknown: () => undefined,
    });
  }

  hear(packet: AdvertPacket, frame: Uint8Array): void {
    if (this.#memory.recognise(frame, 0, frame.length, this.nowMs)) {
      this.counted += 1;
      return;
    }
    this.#known.ask();
    const verdict = this.judge(packet, frame);
    const priority = packet.advert.ok && 'priority' in packet.advert.value ? packet.advert.value.priority : -1;
    if (verdict === 'heard') this.#known.forget();
    else if (priority !== this.#lastPriority) return;
    this.#lastPriority = priority;
    const patience = { silenceMs: 3000, notBeforeMs: 0, heardAtMs: this.nowMs };
    this.#known.remember(packet, frame, patience, verdict === 'twin');
  }

  ask(): void {
    this.#known.ask();
  }

  [Symbol.dispose](): void {
    this.#memory.bind(undefined);
    binding().close(this.#handle);
  }

  /** Something else happens to the router. */
  forget(): void {
    this.#known.forget();
  }
}

/** In one form, the other, and both; what another priority says is another advert. */
const frames = [100, 90].flatMap((priority) => {
  const theirs = vrrpRouter({ priority });
  const sender = createAdapter(theirs, { now: () => 0, wallNow: () => 0 });
  return sender.adverts(rulesOf(electionOf(theirs)).candidacy, { 4: '10.0.0.2', 6: undefined });
});

it('cannot be told from one that is judged each time', () => {
  expect(frames).toHaveLength(4);
  const packets = frames.map((frame) => demuxFrame(frame) as AdvertPacket);
  const happening = fc.oneof(
    {
      weight: 20,
      arbitrary: fc.record({
        which: fc.constantFrom(0, 0, 0, 0, 1, 1, 1, 1, 2, 3),
        afterMs: fc.constantFrom(0, 1, 499, 500, 1000),
      }),
    },
    { weight: 1, arbitrary: fc.constantFrom('ask' as const, 'forget' as const) },
  );
  let counted = 0;
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60, size: 'max' }), (happenings) => {
      const judged = new Ears();
      using known = new Known();
      for (const each of happenings) {
        if (each === 'ask' || each === 'forget') {
          known[each]();
          expect(known.all).toEqual(judged.all);
          continue;
        }
        const [frame, packet] = [frames[each.which], packets[each.which]];
        if (frame === undefined || packet === undefined) continue;
        for (const ears of [judged, known]) ears.nowMs += each.afterMs;
        judged.judge(packet, frame);
        known.hear(packet, frame);
      }
      known.ask();
      expect(known.all).toEqual(judged.all);
      counted += known.counted;
    }),
    { numRuns: 500, seed: 7 },
  );
  expect(counted).toBeGreaterThan(1000);
});

it('is known in both forms after one interval', () => {
  using known = new Known();
  for (let round = 0; round < 3; round++) {
    known.nowMs += intervalMs;
    for (const index of [0, 1])
      known.hear(demuxFrame(frames[index] ?? new Uint8Array()) as AdvertPacket, frames[index] ?? new Uint8Array());
  }
  expect(known.counted).toBe(4);
});
