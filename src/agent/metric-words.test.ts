import { expect, it } from 'vitest';
import { advertRefusals } from '../wire/reasons.js';
import { metricWords } from './metric-words.js';

it('has a series for every reason to refuse an advert', () => {
  expect([...metricWords().advertRejections].sort()).toEqual([...advertRefusals].sort());
});
