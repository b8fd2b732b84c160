import { configJsonSchema } from '../../src/config/json-schema.js';

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly enum?: readonly string[];
}

const preamble = `# Configuration reference

Written by \`npm run docs:reference\` from the schema that koi checks the file with; \`koi schema\` prints that one for editors.
\`[]\` stands for each entry of a list. Durations carry their unit (\`10ms\`, \`1s\`, \`2m\`), sizes too (\`4GiB\`). A key without
a default that is not required may be left out.

| key | type | default | meaning |
|---|---|---|---|
`;

/** docs/configuration.md as it has to be. */
export function configurationReference(): string {
  return preamble + rows('', configJsonSchema() as Node).join('');
}

function rows(path: string, node: Node): string[] {
  const required = node.required ?? [];
  return Object.entries(node.properties ?? {}).flatMap(([key, value]) => {
    const at = path === '' ? key : `${path}.${key}`;
    const standing = value.default !== undefined ? code(value.default) : required.includes(key) ? 'required' : '';
    return [`| \`${at}\` | ${typeOf(value)} | ${standing} | ${cell(value.description ?? '')} |\n`, ...below(at, value)];
  });
}

function below(path: string, node: Node): string[] {
  if (node.items !== undefined) return below(`${path}[]`, node.items);
  const alternatives = node.anyOf ?? [node];
  return alternatives.flatMap((each) => rows(path, each));
}

function typeOf(node: Node): string {
  if (node.anyOf !== undefined) return node.anyOf.map(typeOf).join(' or ');
  if (node.items !== undefined) return `list of ${typeOf(node.items)}`;
  if (node.enum !== undefined) return node.enum.map(code).join(', ');
  if (node.type === 'string' && node.description?.includes('a duration such as')) return 'duration';
  if (node.type === 'object') return 'map';
  return node.type ?? 'any';
}

const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
const cell = (text: string): string => text.replaceAll('|', '\\|');
