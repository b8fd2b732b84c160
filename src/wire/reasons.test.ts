import { expect, it } from 'vitest';
import { advertRefusals, explainRefusal, frameRefusals, noticeRefusals } from './reasons.js';

const all = [...advertRefusals, ...frameRefusals, ...noticeRefusals];

it('every reason is one word for a metric, and its own clause for an operator', () => {
  expect(all.length).toBeGreaterThan(40);
  expect(new Set(all).size).toBe(all.length);
  for (const reason of all) {
    expect(reason).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(explainRefusal(reason)).not.toMatch(/\.$/);
  }
  const clauses = all.map(explainRefusal);
  expect(new Set(clauses).size).toBe(clauses.length);
});
