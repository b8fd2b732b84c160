import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { migrationGuide } from '../../docs/builder/migration.js';
import { configurationReference } from '../../docs/builder/reference.js';

it('docs/configuration.md is what npm run docs:reference writes', () => {
  expect(readFileSync('docs/configuration.md', 'utf8')).toBe(configurationReference());
});

it('the tables of docs/migration.md are what the import reads', () => {
  const text = readFileSync('docs/migration.md', 'utf8');
  expect(migrationGuide(text)).toBe(text);
});
