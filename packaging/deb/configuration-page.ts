import { z } from 'zod';
import type { PageAbout } from './command-pages.js';
import { bold, escapeRoff, literal, section, tagged, titleLine } from './roff.js';

/** What is read of JSON Schema here; the rest says nothing to a reader of the page. */
interface Node {
  readonly description?: string | undefined;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[] | undefined;
  readonly properties?: Readonly<Record<string, Node>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: Node | undefined;
  readonly anyOf?: readonly Node[] | undefined;
  readonly oneOf?: readonly Node[] | undefined;
  readonly allOf?: readonly Node[] | undefined;
  readonly $ref?: string | undefined;
  readonly $defs?: Readonly<Record<string, Node>> | undefined;
}

const node: z.ZodType<Node> = z.lazy(() =>
  z.looseObject({
    description: z.string().optional(),
    default: z.unknown().optional(),
    const: z.unknown().optional(),
    enum: z.array(z.unknown()).optional(),
    properties: z.record(z.string(), node).optional(),
    required: z.array(z.string()).optional(),
    items: node.optional(),
    anyOf: z.array(node).optional(),
    oneOf: z.array(node).optional(),
    allOf: z.array(node).optional(),
    $ref: z.string().optional(),
    $defs: z.record(z.string(), node).optional(),
  }),
);

/** One key of the file, with the way to it: `virtualRouters[].preempt.delay`. */
export interface ConfigurationKey {
  readonly path: string;
  readonly about: string;
  readonly isRequired: boolean;
  /** As it would be written; undefined where there is none, or what it stands for is an object. */
  readonly fallback: string | undefined;
}

const depthMax = 12;

/** Every key of the configuration, in the schema's order; one with several forms is listed once. */
export function configurationKeys(jsonSchema: unknown): ConfigurationKey[] {
  const root = node.parse(jsonSchema);
  const keys = new Map<string, ConfigurationKey>();

  const resolve = (at: Node): Node => {
    const name = /^#\/\$defs\/(.+)$/.exec(at.$ref ?? '')?.[1];
    return name === undefined ? at : { ...root.$defs?.[name], ...at, $ref: undefined };
  };

  const walk = (found: Node, path: string, depth: number): void => {
    if (depth > depthMax) return;
    const at = resolve(found);
    for (const form of [...(at.anyOf ?? []), ...(at.oneOf ?? []), ...(at.allOf ?? [])]) walk(form, path, depth + 1);
    if (at.items !== undefined) walk(at.items, `${path}[]`, depth + 1);
    for (const [name, inner] of Object.entries(at.properties ?? {})) {
      const child = resolve(inner);
      const childPath = path === '' ? name : `${path}.${name}`;
      const known = keys.get(childPath);
      const isRequired = at.required?.includes(name) === true && child.default === undefined;
      if (known === undefined || (known.about === '' && child.description !== undefined)) {
        keys.set(childPath, {
          path: childPath,
          about: child.description ?? itemsAbout(child),
          isRequired: isRequired && (known?.isRequired ?? true),
          fallback: written(child.default),
        });
      }
      walk(child, childPath, depth + 1);
    }
  };
  const itemsAbout = (at: Node): string => {
    const about = at.items === undefined ? undefined : resolve(at.items).description;
    return about === undefined ? '' : `a list: ${about.replace(/^an? /, '')}`;
  };
  walk(root, '', 0);
  return [...keys.values()];
}

function written(value: unknown): string | undefined {
  if (value === undefined || value === null || typeof value === 'object') return undefined;
  return String(value);
}

/** koi.yaml(5): the whole configuration, from its schema. */
export function configurationPage(jsonSchema: unknown, example: string, about: PageAbout): string {
  const keys = configurationKeys(jsonSchema);
  return [
    titleLine('koi.yaml', 5, about),
    section('name'),
    'koi.yaml \\- configuration of a Koi node\n',
    section('description'),
    escapeRoff(
      [
        'YAML, of which JSON is a part. Unknown keys are errors; koi check prints every error with the path of its key.',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it stands so in the page
        'Durations are 10ms, 1s or 2m. ${NAME} stands for a variable of the environment, which the units read from',
        '/etc/default/koi; secrets are better kept in files of their own, with passwordFile and its like.',
      ].join('\n'),
    ),
    '\n.PP\n',
    escapeRoff('In the list below, [] stands for each entry of a list. A change is put into force by koi reload.'),
    '\n',
    section('keys'),
    ...keys.map(describeKey),
    section('example'),
    literal(example.trimEnd()),
    section('files'),
    tagged(bold('/etc/koi/koi.yaml'), 'What the units read.'),
    tagged(bold('/etc/default/koi'), 'Variables for the units.'),
    section('see also'),
    `${[bold('koi(1)'), bold('koi-check(1)'), bold('koi-reload(1)'), bold('koi-schema(1)')].join(', ')}\n`,
  ].join('');
}

function describeKey({ path, about, isRequired, fallback }: ConfigurationKey): string {
  const notes = [isRequired ? 'required' : '', fallback === undefined ? '' : `default: ${fallback}`];
  const kept = notes.filter((note) => note !== '');
  const words = [about, kept.length === 0 ? '' : `(${kept.join('; ')})`].filter((part) => part !== '').join(' ');
  return tagged(bold(path), words === '' ? '\\&' : escapeRoff(words));
}
