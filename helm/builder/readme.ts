import { parse } from 'yaml';

interface Node {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
}

const preamble = `# The koi chart

Keeps the virtual IPs of a bare-metal cluster, the API server's among them. How to install it, what an update moves and
how to come from kube-vip or MetalLB is in [docs/kubernetes.md](../../docs/kubernetes.md).

\`\`\`sh
helm install koi helm/koi -n kube-system -f values.yaml
helm test koi -n kube-system
\`\`\`

A file of values has to give \`config.virtualRouters\`, and a log: \`config.log.servers\` or \`log.embedded.enabled\`. What is wrong is
refused before anything is installed, by the name of the value. The keys of \`config\` are in
[docs/configuration.md](../../docs/configuration.md).

| value | default | meaning |
|---|---|---|
`;

/**
 * The README of the chart.
 *
 * @param schema values.schema.json
 * @param values the text of values.yaml
 */
export function chartReadme(schema: string, values: string): string {
  const defaults: unknown = parse(values);
  return preamble + rows('', JSON.parse(schema) as Node, defaults).join('');
}

function rows(path: string, { properties = {} }: Node, defaults: unknown): string[] {
  return Object.entries(properties).flatMap(([key, node]) => {
    const at = path === '' ? key : `${path}.${key}`;
    const value = (defaults as Readonly<Record<string, unknown>> | undefined)?.[key];
    if (at === 'global') return [];
    const isOne = at === 'config' || at.endsWith('.image');
    if (node.properties !== undefined && !isOne) return rows(at, node, value);
    return [`| \`${at}\` | ${shown(value)} | ${node.description?.replaceAll('|', '\\|') ?? ''} |\n`];
  });
}

const shownMax = 70;
function shown(value: unknown): string {
  if (value === undefined || value === '') return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > shownMax ? 'see values.yaml' : `\`${text}\``;
}
