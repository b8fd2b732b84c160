import { describe, expect, it } from 'vitest';
import { simulate } from '../../src/sim/simulation.js';
import { brokenRules } from './broken-rules.js';

describe('a broken rule is found', () => {
  for (const { name, mode, faults, rules, withinSeeds } of brokenRules) {
    it(`${name}, within ${withinSeeds} seeds`, { timeout: 60_000 }, async () => {
      let found: string | undefined;
      for (let seed = 1; seed <= withinSeeds && found === undefined; seed++) {
        const { violation } = await simulate({ seed, mode, faults, rules });
        if (violation !== undefined) found = `seed ${seed}: ${violation.text}`;
      }
      expect(found).toBeDefined();
    });
  }
});
