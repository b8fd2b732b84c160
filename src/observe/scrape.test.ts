import { expect, it } from 'vitest';
import { Scrape } from './scrape.js';

function site(takesMs: number) {
  let nowMs = 0;
  let rendered = 0;
  const scrape = new Scrape({
    now: () => nowMs,
    render: async () => {
      nowMs += takesMs;
      rendered += 1;
      return `text ${rendered}`;
    },
  });
  return { scrape, pass: (ms: number) => (nowMs += ms), rendered: () => rendered, now: () => nowMs };
}

it('renders once for all who ask at the same time', async () => {
  const { scrape } = site(5);
  expect(await Promise.all([scrape.text(), scrape.text(), scrape.text()])).toEqual(['text 1', 'text 1', 'text 1']);
});

it('shows the same for a tenth of a second, and then what is new', async () => {
  const { scrape, pass } = site(1);
  expect(await scrape.text()).toBe('text 1');
  pass(99);
  expect(await scrape.text()).toBe('text 1');
  pass(1);
  expect(await scrape.text()).toBe('text 2');
});

it('spends at most a tenth of the time, however long a rendering takes and however often it is asked for', async () => {
  const { scrape, pass, rendered, now } = site(300);
  for (let asked = 0; asked < 10_000; asked += 1) {
    await scrape.text();
    pass(10);
  }
  expect((rendered() * 300) / now()).toBeLessThan(0.11);
  expect(rendered()).toBeGreaterThan(10);
});

it('keeps no failure: the next one renders again', async () => {
  let fails = true;
  const scrape = new Scrape({
    now: () => 0,
    render: async () => {
      if (fails) throw new Error('no memory');
      return 'well';
    },
  });
  await expect(scrape.text()).rejects.toThrow('no memory');
  fails = false;
  expect(await scrape.text()).toBe('well');
});
