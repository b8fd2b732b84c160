import { describe, expect, it } from 'vitest';
import { simulate } from '../../src/sim/simulation.js';
import { brokenRules } from './broken-rules.js';

describe('a broken rule is found', () => {
  for (const { name, mode, faults, rules, tells, withinSeeds } of brokenRules) {
    it(`${name}, within ${withinSeeds} seeds`, { timeout: 60_000 }, async () => {
      let found: string | undefined;
      for (let tried = 0; tried <= withinSeeds && found === undefined; tried++) {
        const seed = tried === 0 ? tells : tried;
        const { violation } = await simulate({ seed, mode, faults, rules });
        if (violation === undefined) continue;
        found = `seed ${seed}: ${violation.text}`;
        // It is the rule that was found, and not the seed.
        expect((await simulate({ seed, mode, faults })).violation).toBeUndefined();
      }
      expect(found).toBeDefined();
    });
  }
});
