import { z } from 'zod';
import { formatDuration } from './duration.js';
import { configSchema } from './schema.js';

/** JSON Schema (draft 2020-12) of the configuration file, for editors and for `koi schema`. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  return {
    ...z.toJSONSchema(configSchema, {
      io: 'input',
      target: 'draft-2020-12',
      override: ({ zodSchema: { _zod }, jsonSchema }) => {
        // Of a duration zod knows the default in milliseconds only, which is not what stands in the file.
        const isDuration = jsonSchema.type === 'string' && jsonSchema.description?.includes('a duration such as');
        if (_zod.def.type !== 'default' || isDuration !== true) return;
        jsonSchema.default = formatDuration(Number(_zod.def.defaultValue));
      },
    }),
  };
}
