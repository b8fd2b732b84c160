import { pino } from 'pino';
import { expect, it } from 'vitest';
import { vrrpVirtualMac } from '../wire/mac.js';
import { RefusalLog, type RefusedAdvert } from './protocol-refusals.js';

function refusals() {
  const lines: Record<string, unknown>[] = [];
  const clock = { nowMs: 0 };
  const sink = { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) };
  const subject = new RefusalLog(pino({}, sink), () => clock.nowMs);
  const refuse = (over: Partial<RefusedAdvert> = {}): void =>
    subject.refused({
      what: 'advert',
      interface: 'eth1',
      source: '10.0.0.2',
      mac: vrrpVirtualMac(4, 51),
      id: 51,
      reason: 'bad_ttl',
      ...over,
    });
  return { lines, clock, refuse };
}

it('explains a refusal in words, with what is known in this case', () => {
  const { lines, refuse } = refusals();
  refuse({ vr: 'gw', reason: 'interval_mismatch', detail: 'its interval is 2 s, here it is 1 s' });
  expect(lines).toEqual([
    expect.objectContaining({
      vr: 'gw',
      source: '10.0.0.2',
      reason: 'interval_mismatch',
      msg: 'advert from 10.0.0.2 refused: the interval is not the one configured here, which VRRPv2 demands; set both sides to the same one (its interval is 2 s, here it is 1 s)',
    }),
  ]);
});

it('says the same once a minute, with the number of repetitions', () => {
  const { lines, clock, refuse } = refusals();
  for (clock.nowMs = 0; clock.nowMs < 60_000; clock.nowMs += 10) refuse();
  expect(lines).toHaveLength(1);
  refuse();
  expect(lines[1]).toMatchObject({ repeated: 5999 });
});

it('writes no more than 64 kinds a minute, whoever invents senders', () => {
  const { lines, clock, refuse } = refusals();
  for (let sender = 0; sender < 1000; sender++) refuse({ source: `10.1.${sender >> 8}.${sender & 255}` });
  expect(lines).toHaveLength(64);
  clock.nowMs = 60_001;
  refuse({ source: '10.2.0.1' });
  expect(lines).toHaveLength(65);
});
