import { expect, it } from 'vitest';
import { HolderVerdicts } from './holder-verdicts.js';

it('keeps what was found out for the claim that follows, each virtual router its own', () => {
  const verdicts = new HolderVerdicts();
  verdicts.note('gw', 'b.1', { kind: 'gone', why: 'no_answer' });
  verdicts.note('dmz', 'b.1', { kind: 'serves' });
  verdicts.note('gw', 'b.2', { kind: 'unasked' });
  expect([verdicts.of('gw', 'b.1'), verdicts.of('gw', 'b.1'), verdicts.of('dmz', 'b.1')]).toEqual([
    'no_answer',
    'no_answer',
    'serves',
  ]);
  expect([verdicts.of('gw', 'b.2'), verdicts.of('gw', 'b.9')]).toEqual([undefined, undefined]);
  for (let claim = 0; claim < 2000; claim += 1) verdicts.note('gw', `c.${claim}`, { kind: 'serves' });
  expect([verdicts.of('gw', 'b.1'), verdicts.of('gw', 'c.1999')]).toEqual([undefined, 'serves']);
});
