import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { configurationReference } from '../../docs/builder/reference.js';

it('docs/configuration.md is what npm run docs:reference writes', () => {
  expect(readFileSync('docs/configuration.md', 'utf8')).toBe(configurationReference());
});
