import type { Imported } from './keepalived-mapping.js';

/** Koi's configuration as YAML (flow values are JSON, which is YAML), each key with the line it comes from. */
export function renderImported(imported: Imported, source: string, node: string | undefined): string {
  const lines = [
    `# From ${source} by koi import keepalived.`,
    'cluster: edge # choose a name, the same on every node',
    ...(node === undefined ? [] : [`node: ${JSON.stringify(node)}`]),
    'log: {servers: ["nats://127.0.0.1:4222"]} # name your NATS servers',
    'arbitration: wire # as keepalived, and beside it; log once every node runs Koi',
    'virtualRouters:',
  ];
  for (const { entries } of imported.routers) {
    entries.forEach(({ key, value, line }, at) => {
      lines.push(`${at === 0 ? '  - ' : '    '}${key}: ${JSON.stringify(value)} # line ${line}`);
    });
  }
  return `${lines.join('\n')}\n`;
}
