import { describe, expect, it } from 'vitest';
import { overlapMs } from '../core/configuration-overlap.js';
import { AdvertOverlap } from './advert-overlap.js';
import type { AdvertPacket, Judgement, ProtocolAdapter } from './protocol-adapter.js';

const heard: Judgement = {
  kind: 'heard',
  candidacy: { kind: 'carp', advbase: 1, advskew: 0, demote: 0 },
};

/** Takes adverts of its own name only. */
function adapter(name: string, families: readonly (4 | 6)[] = [4]): ProtocolAdapter {
  return {
    families,
    judge: (packet: AdvertPacket): Judgement =>
      (packet as unknown as { name: string }).name === name
        ? heard
        : { kind: 'refused', reason: 'bad_digest', detail: `${name} refuses it` },
  } as unknown as ProtocolAdapter;
}

const advert = (name: string) => ({ name, family: 4 }) as unknown as AdvertPacket;
const sources = { 4: undefined, 6: undefined };
const judge = (overlap: AdvertOverlap, present: ProtocolAdapter, name: string, atMs: number) =>
  overlap.judge(present, advert(name), new Uint8Array(), sources, atMs);

describe('adverts around a switch', () => {
  it('are taken in the configuration that is prepared, while it is', () => {
    const overlap = new AdvertOverlap();
    const old = adapter('old');
    expect(judge(overlap, old, 'new', 0)).toMatchObject({ kind: 'refused', detail: 'old refuses it' });
    overlap.expect(adapter('new'));
    expect(judge(overlap, old, 'new', 0).kind).toBe('heard');
    expect(judge(overlap, old, 'old', 0).kind).toBe('heard');
    expect(judge(overlap, old, 'stranger', 0)).toMatchObject({ kind: 'refused', detail: 'old refuses it' });
    overlap.expect(undefined);
    expect(judge(overlap, old, 'new', 0).kind).toBe('refused');
  });

  it('are taken in the configuration before for a while, and then no longer', () => {
    const overlap = new AdvertOverlap();
    overlap.replaced(adapter('old'), 1000);
    const present = adapter('new');
    expect(judge(overlap, present, 'old', 1000 + overlapMs - 1).kind).toBe('heard');
    expect(judge(overlap, present, 'old', 1000 + overlapMs)).toMatchObject({ detail: 'new refuses it' });
    expect(judge(overlap, present, 'old', 1000).kind).toBe('refused');
  });

  it('are not asked about in a family that the other configuration has not', () => {
    const overlap = new AdvertOverlap();
    overlap.expect(adapter('new', [6]));
    expect(judge(overlap, adapter('old'), 'new', 0).kind).toBe('refused');
  });
});
