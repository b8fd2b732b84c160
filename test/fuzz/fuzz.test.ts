import { expect, it } from 'vitest';
import { advertRefusals } from '../../src/wire/reasons.js';
import { goldenFrames } from './golden-frames.js';
import { Mutator } from './mutation.js';
import { judge, judgeRoundTrip } from './oracle.js';

it('50,000 fuzzed frames are decoded or refused by name, and the fuzzer reaches every codec', () => {
  const mutator = new Mutator(Object.values(goldenFrames), 20_240_501);
  const outcomes = new Set<string>();
  for (let index = 0; index < 50_000; index++) {
    const bytes = mutator.next();
    const { frame, label } = judge(bytes);
    judgeRoundTrip(bytes, frame);
    outcomes.add(label);
  }
  for (const kind of ['vrrp', 'carp', 'arp', 'ndp', 'notice', 'other']) expect(outcomes).toContain(kind);
  for (const reason of ['notice_truncated', 'notice_foreign', 'notice_bad_version', 'notice_bad_digest']) {
    expect(outcomes).toContain(`notice: ${reason}`);
  }
  const byDecoders = advertRefusals.filter(
    (reason) => outcomes.has(`vrrp: ${reason}`) || outcomes.has(`carp: ${reason}`),
  );
  expect(byDecoders).toEqual(
    expect.arrayContaining(['truncated', 'bad_version', 'bad_type', 'length_mismatch', 'bad_trailer', 'bad_checksum']),
  );
  expect(byDecoders).toEqual(expect.arrayContaining(['zero_id', 'zero_interval', 'unsupported_auth']));
});
