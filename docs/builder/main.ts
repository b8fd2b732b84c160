import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configurationReference } from './reference.js';

/** Writes docs/configuration.md anew: npm run docs:reference */
writeFileSync(fileURLToPath(new URL('../configuration.md', import.meta.url)), configurationReference());
