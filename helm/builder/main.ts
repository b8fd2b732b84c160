import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chartReadme } from './readme.js';
import { valuesSchemaText } from './values.js';

/** Writes values.schema.json and README.md of the chart anew: npm run chart:schema */
const file = (name: string): string => fileURLToPath(new URL(`../koi/${name}`, import.meta.url));
writeFileSync(file('values.schema.json'), valuesSchemaText());
writeFileSync(file('README.md'), chartReadme(valuesSchemaText(), readFileSync(file('values.yaml'), 'utf8')));
