import { describe, expect, it } from 'vitest';
import type { MacAddress } from '../../wire/mac.js';
import { ProbeRound } from './probe-round.js';

const virtualMac = '00:00:5e:00:01:33' as MacAddress;
const stranger = '02:00:00:00:00:99' as MacAddress;

function ask(round: ProbeRound, ...answers: readonly MacAddress[]) {
  round.ask();
  for (const mac of answers) round.heard(mac);
  return round.settle();
}

describe('a question who has the address', () => {
  it('is well answered by the virtual MAC alone', () => {
    const round = new ProbeRound(virtualMac);
    expect(ask(round, virtualMac)).toEqual({ responders: 1, macMatch: true, isSplit: false, isSuspicious: false });
    expect(ask(round)).toEqual({ responders: 0, macMatch: true, isSplit: false, isSuspicious: false });
  });

  it('is answered by a stranger too', () => {
    expect(ask(new ProbeRound(virtualMac), virtualMac, stranger)).toMatchObject({ responders: 2, macMatch: false });
    expect(ask(new ProbeRound(virtualMac), stranger)).toMatchObject({ responders: 1, macMatch: false, isSplit: false });
  });

  it('shows two masters where the virtual MAC answers twice, twice', () => {
    const round = new ProbeRound(virtualMac);
    expect(ask(round, virtualMac, virtualMac)).toMatchObject({ isSplit: false, isSuspicious: true });
    expect(ask(round, virtualMac, virtualMac)).toMatchObject({ isSplit: true, isSuspicious: false, responders: 2 });
    expect(ask(round, virtualMac)).toMatchObject({ isSplit: false, isSuspicious: false });
  });

  it('is not a split for the instant of a handover', () => {
    const round = new ProbeRound(virtualMac);
    expect(ask(round, virtualMac, virtualMac)).toMatchObject({ isSuspicious: true });
    expect(ask(round, virtualMac)).toMatchObject({ isSplit: false, isSuspicious: false });
    expect(ask(round, virtualMac, virtualMac)).toMatchObject({ isSplit: false, isSuspicious: true });
  });

  it('takes no answer that nobody asked for', () => {
    const round = new ProbeRound(virtualMac);
    expect(round.heard(virtualMac)).toBe(false);
    expect(round.settle()).toBeUndefined();
    ask(round, virtualMac);
    expect(round.heard(virtualMac)).toBe(false);
  });

  it('keeps a few MACs of whoever answers with thousands', () => {
    const round = new ProbeRound(virtualMac);
    round.ask();
    for (let each = 0; each < 10_000; each++) round.heard(`02:00:00:00:${each}` as MacAddress);
    expect(round.settle()?.responders).toBe(8);
  });
});
