import { describe, expect, it } from 'vitest';
import { type Figure, figureTable, ratioOf, summaryOf } from './figures.js';

const figure = (keepalived: (number | undefined)[], koi: (number | undefined)[]): Figure => ({
  name: 'outage',
  unit: 'ms',
  rounds: { keepalived, ucarp: [], koi },
});

describe('figures beside each other', () => {
  it('are summed up by median and worst', () => {
    expect(summaryOf([3, 1, 2])).toEqual({ median: 2, worst: 3 });
    expect(summaryOf([])).toBeUndefined();
  });

  it('count what never ended as the worst there is', () => {
    expect(summaryOf([1, undefined, 2])).toEqual({ median: 2, worst: Number.POSITIVE_INFINITY });
    expect(ratioOf(figure([undefined], [5]))).toBe(0);
  });

  it('have a ratio of the medians, where there is one', () => {
    expect(ratioOf(figure([10, 20, 30], [5, 5, 90]))).toBe(0.25);
    expect(ratioOf(figure([], [5]))).toBeUndefined();
    expect(ratioOf(figure([0], [5]))).toBeUndefined();
  });

  it('stand in columns', () => {
    const [heading, row] = figureTable([figure([612, 620, 611], [0.2, 0.4, 0.3])]).split('\n');
    expect(heading?.length).toBe(row?.length);
    expect(row).toMatch(/^outage +612 ms +620 ms +0\.3 ms +0\.4 ms +0\.00049$/);
  });

  it('have a column of ucarp where it has any', () => {
    const withUcarp: Figure = { name: 'outage', unit: 'ms', rounds: { keepalived: [612], ucarp: [4_595], koi: [1] } };
    const [heading, row] = figureTable([withUcarp, figure([1], [1])]).split('\n');
    expect(heading).toMatch(/^figure +keepalived +worst +ucarp +worst +koi +worst +ratio$/);
    expect(row).toMatch(/^outage +612 ms +612 ms +4595 ms +4595 ms +1\.0 ms +1\.0 ms +0\.0016$/);
  });
});
