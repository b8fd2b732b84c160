import { expect, test } from 'vitest';
import { ReceiptBook } from './receipt.js';

test('each step is timed from the end of the one before', () => {
  const clock = [100, 101.5, 101.5, 110];
  const book = new ReceiptBook(() => clock.shift() ?? 0);
  book.prove('parent', 'eth1 is up');
  book.prove('guards', 'in force');
  book.prove('link', 'made');
  expect(book.receipts.map(({ step, durationMs }) => [step, durationMs])).toEqual([
    ['parent', 1.5],
    ['guards', 0],
    ['link', 8.5],
  ]);
});
