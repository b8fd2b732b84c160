import { z } from 'zod';
import type { ConfigPath } from './path.js';

/** What the schema says about one place in the configuration. */
export interface SchemaPlace {
  readonly description: string | undefined;
  /** The keys of the map that belongs here; empty where none does. */
  readonly keys: readonly string[];
  readonly kinds: readonly string[];
}

/** Walks a schema along a path, through defaults, options and alternatives; undefined where it knows no such place. */
export function schemaPlace(root: z.core.$ZodType, path: ConfigPath): SchemaPlace | undefined {
  let places = alternatives(root, undefined);
  for (const part of path) {
    places = places.flatMap(({ schema }) => {
      const { def } = (schema as z.core.$ZodTypes)._zod;
      if (def.type === 'array' && typeof part === 'number') return alternatives(def.element, undefined);
      if (def.type !== 'object' || typeof part !== 'string' || !Object.hasOwn(def.shape, part)) return [];
      const child = def.shape[part];
      return child === undefined ? [] : alternatives(child, undefined);
    });
  }
  if (places.length === 0) return undefined;
  return {
    description: places.find((place) => place.description !== undefined)?.description,
    kinds: places.map(({ schema }) => schema._zod.def.type),
    keys: places.flatMap(({ schema }) => {
      const { def } = (schema as z.core.$ZodTypes)._zod;
      return def.type === 'object' ? Object.keys(def.shape) : [];
    }),
  };
}

interface Alternative {
  readonly schema: z.core.$ZodType;
  readonly description: string | undefined;
}

function alternatives(schema: z.core.$ZodType, outer: string | undefined): Alternative[] {
  const description = outer ?? z.globalRegistry.get(schema)?.description;
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'optional':
    case 'default':
      return alternatives(def.innerType, description);
    case 'pipe':
      return alternatives(def.in, description);
    case 'union':
      return def.options.flatMap((option) => alternatives(option, description));
    default:
      return [{ schema, description }];
  }
}
