import { dirname, relative } from 'node:path';
import type { Imported } from './keepalived-mapping.js';
import type { Place } from './keepalived-text.js';

/** Koi's configuration as YAML (flow values are JSON, which is YAML), each key with the line it comes from. */
export function renderImported(imported: Imported, source: string, node: string | undefined): string {
  const from = ({ file, line }: Place): string =>
    file === source ? `# line ${line}` : `# ${oneLine(relative(dirname(source), file))} line ${line}`;
  const { startDelay } = imported;
  const lines = [
    `# From ${oneLine(source)} by koi import keepalived.`,
    'cluster: edge # choose a name, the same on every node',
    ...(node === undefined ? [] : [`node: ${scalar(node)}`]),
    'log: {servers: ["nats://127.0.0.1:4222"]} # name your NATS servers',
    'arbitration: wire # as keepalived, and beside it; log once every node runs Koi',
    ...(startDelay === undefined ? [] : [`startDelay: ${startDelay.value} ${from(startDelay.place)}`]),
    ...(imported.tracks.length === 0 ? [] : ['track:']),
    ...imported.tracks.map(({ entry, from: directive }) => `  - ${scalar(entry)} ${from(directive.place)}`),
    'virtualRouters:',
  ];
  for (const { entries } of imported.routers) {
    entries.forEach(({ key, value, place }, at) => {
      lines.push(`${at === 0 ? '  - ' : '    '}${key}: ${scalar(value)} ${from(place)}`);
    });
  }
  return `${lines.join('\n')}\n`;
}

/** `${NAME}` means a variable to Koi; where the text itself is meant it is `$${NAME}`. */
const scalar = (value: unknown): string => JSON.stringify(value).replaceAll(/\$(?=\{[^}]*\})/g, '$$$$');

// biome-ignore lint/suspicious/noControlCharactersInRegex: a path may have any, and a comment has one line
const oneLine = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
