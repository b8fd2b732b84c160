import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { migrationGuide } from './migration.js';
import { configurationReference } from './reference.js';

/** Writes docs/configuration.md and the tables of docs/migration.md anew: npm run docs:reference */
const page = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
writeFileSync(page('configuration.md'), configurationReference());
writeFileSync(page('migration.md'), migrationGuide(readFileSync(page('migration.md'), 'utf8')));
