import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

/*
 * kubeconform with schemas of this machine: those of Kubernetes are made from its OpenAPI documents, the operator's from
 * its resource definitions, both strict, so that a field nobody knows is an error. scripts/setup brings them.
 */

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'koi');
const program = join(cache, 'bin/kubeconform');
const documents = join(cache, 'kubernetes-schemas');

/** Whether scripts/setup has brought kubeconform and the documents. */
export const hasKubeconform = existsSync(program) && existsSync(join(documents, 'modules'));

type Json = unknown;
type JsonMap = Readonly<Record<string, Json>>;
const isMap = (value: Json): value is JsonMap => typeof value === 'object' && value !== null && !Array.isArray(value);

const openApi = z.object({ components: z.object({ schemas: z.record(z.string(), z.looseObject({})) }) });
const kinds = z.array(z.object({ group: z.string(), kind: z.string(), version: z.string() }));
const resourceDefinition = z.object({
  spec: z.object({
    group: z.string(),
    names: z.object({ kind: z.string() }),
    versions: z.array(z.object({ name: z.string(), schema: z.object({ openAPIV3Schema: z.looseObject({}) }) })),
  }),
});

/** A map of known fields takes no other; an object whose fields are not listed takes any. */
function strict(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(strict);
  if (!isMap(schema)) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]));
  const isOpen = schema.additionalProperties !== undefined || schema['x-kubernetes-preserve-unknown-fields'] === true;
  return isMap(schema.properties) && !isOpen ? { ...inner, additionalProperties: false } : inner;
}

/** As kubeconform looks for it: in lower case, the group up to its first dot. */
const fileOf = (kind: string, group: string, version: string): string =>
  `${[kind, ...(group === '' ? [] : [group.split('.')[0]]), version].join('-').toLowerCase()}.json`;

/** Writes a strict schema for each kind that the documents describe. */
export function writeSchemas(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const write = (file: string, schema: Json): void => writeFileSync(join(folder, file), JSON.stringify(schema));
  for (const name of readdirSync(documents)) {
    const text = readFileSync(join(documents, name), 'utf8');
    if (name.endsWith('.json')) {
      const { schemas } = openApi.parse(JSON.parse(text)).components;
      const definitions = strict(schemas);
      for (const [title, schema] of Object.entries(schemas)) {
        const found = kinds.safeParse(schema['x-kubernetes-group-version-kind']);
        for (const { group, kind, version } of found.data ?? []) {
          write(fileOf(kind, group, version), {
            $ref: `#/components/schemas/${title}`,
            components: { schemas: definitions },
          });
        }
      }
    } else if (name.endsWith('.yaml')) {
      const { spec } = resourceDefinition.parse(parse(text));
      for (const { name: version, schema } of spec.versions) {
        write(fileOf(spec.names.kind, spec.group, version), strict(schema.openAPIV3Schema));
      }
    }
  }
}

/** What kubeconform finds wrong with each object, as `Kind name: message`; empty where all are valid. */
export function kubeconform(schemas: string, manifests: readonly unknown[]): string[] {
  const words = ['-strict', '-output', 'json', '-verbose', '-schema-location'];
  const location = join(schemas, '{{.ResourceKind}}{{.KindSuffix}}.json');
  const input = manifests.map((each) => JSON.stringify(each)).join('\n---\n');
  const ran = spawnSync(program, [...words, location, '-'], { encoding: 'utf8', input, timeout: 60_000 });
  const result = z.object({
    resources: z.array(z.object({ kind: z.string(), name: z.string(), status: z.string(), msg: z.string() })),
  });
  const { resources } = result.parse(JSON.parse(ran.stdout));
  if (resources.length !== manifests.length)
    throw new Error(`${resources.length} of ${manifests.length} were looked at`);
  return resources
    .filter(({ status }) => status !== 'statusValid')
    .map(({ kind, name, status, msg }) => `${kind} ${name}: ${msg === '' ? status : msg}`);
}
