import { describe, it } from 'vitest';
import { expectPromisesKept } from './promises.js';

describe('clusters in mode wire', () => {
  it('keep every promise, whatever fails', { timeout: 900_000 }, () => expectPromisesKept('wire', 1, 700));
});
