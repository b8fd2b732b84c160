import { describe, it } from 'vitest';
import { expectPromisesKept } from './promises.js';

describe('clusters in mode strict', () => {
  it('keep every promise, whatever fails', { timeout: 900_000 }, () => expectPromisesKept('strict', 1, 700));
});
