import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { valuesSchemaText } from './values.js';

/** Writes values.schema.json anew: npm run chart:schema */
writeFileSync(fileURLToPath(new URL('../koi/values.schema.json', import.meta.url)), valuesSchemaText());
