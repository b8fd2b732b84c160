import { expect, it } from 'vitest';
import { advertRefusals, noticeRefusals } from '../wire/reasons.js';
import { metricWords } from './metric-words.js';

it('has a series for every reason to refuse an advert or a notice', () => {
  expect([...metricWords().advertRejections].sort()).toEqual([...advertRefusals, ...noticeRefusals].sort());
});
