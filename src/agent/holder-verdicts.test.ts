import { expect, it } from 'vitest';
import { HolderVerdicts } from './holder-verdicts.js';

it('keeps what was found out for the claim that follows, each virtual router its own', () => {
  const verdicts = new HolderVerdicts();
  verdicts.note('gw', 'b.1', { kind: 'gone', why: 'no_answer' });
  verdicts.note('dmz', 'b.1', { kind: 'serves' });
  verdicts.note('gw', 'b.2', { kind: 'unasked' });
  expect([
    verdicts.of('gw', 'b.1', 'master_silent'),
    verdicts.of('gw', 'b.1', 'master_silent'),
    verdicts.of('dmz', 'b.1', 'master_silent'),
  ]).toEqual(['no_answer', 'no_answer', 'serves']);
  expect([verdicts.of('gw', 'b.2', 'master_silent'), verdicts.of('gw', 'b.9', 'master_silent')]).toEqual([
    undefined,
    undefined,
  ]);
  for (let claim = 0; claim < 2000; claim += 1) verdicts.note('gw', `c.${claim}`, { kind: 'serves' });
  expect([verdicts.of('gw', 'b.1', 'master_silent'), verdicts.of('gw', 'c.1999', 'master_silent')]).toEqual([
    undefined,
    'serves',
  ]);
});

it('has an answer that has not come for none, and a frame over the LAN for one', () => {
  const verdicts = new HolderVerdicts();
  verdicts.asked('gw', 'b.1');
  expect(verdicts.of('gw', 'b.1', 'master_silent')).toBe('no_answer');
  expect(verdicts.of('gw', 'b.1', 'advert_path_lost')).toBe('serves');
  verdicts.note('gw', 'b.1', { kind: 'gone', why: 'lan_down' });
  expect(verdicts.of('gw', 'b.1', 'master_silent')).toBe('lan_down');
  verdicts.note('gw', 'b.1', { kind: 'unasked' });
  expect(verdicts.of('gw', 'b.1', 'master_silent')).toBeUndefined();
});
