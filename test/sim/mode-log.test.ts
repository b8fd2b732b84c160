import { describe, it } from 'vitest';
import { expectPromisesKept } from './promises.js';

describe('clusters in mode log', () => {
  it('keep every promise, whatever fails', { timeout: 900_000 }, () => expectPromisesKept('log', 1, 700));
});
