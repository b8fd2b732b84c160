import { globalReaders } from '../../src/import/globals.js';
import { instanceReaders } from '../../src/import/instance.js';
import { leftOutRows } from '../../src/import/left-out-advice.js';
import { groupReaders } from '../../src/import/sync-groups.js';
import { fileReaders, processReaders, scriptReaders } from '../../src/import/track-definitions.js';

type Rows = Readonly<Record<string, { readonly koi: string }>>;

/** What the import of a keepalived.conf reads, block by block. */
const blocks: readonly (readonly [block: string, rows: Rows])[] = [
  ['`global_defs`', globalReaders],
  ['`vrrp_instance`', instanceReaders],
  ['`vrrp_sync_group`', groupReaders],
  ['`vrrp_script`', scriptReaders],
  ['`track_file`', fileReaders],
  ['`track_process`, `vrrp_track_process`', processReaders],
];

const begin = '<!-- written by npm run docs:reference from the tables of the import -->\n';
const end = '<!-- end -->\n';

/** docs/migration.md with the tables as they have to be; what stands around them is left alone. */
export function migrationGuide(text: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error('docs/migration.md has lost the marks of its tables');
  return text.slice(0, from + begin.length) + tables() + text.slice(to);
}

function tables(): string {
  const carried = blocks.flatMap(([block, rows]) =>
    Object.entries(rows).map(([name, { koi }]) => `| ${block} | \`${name}\` | ${cell(koi)} |\n`),
  );
  const listed = leftOutRows.map(
    ({ statements, reason, remedy }) => `| ${cell(statements)} | ${cell(reason)} | ${cell(remedy)} |\n`,
  );
  return `
| in | keepalived | Koi |
|---|---|---|
${carried.join('')}
Listed, since Koi has no word for it:

| keepalived | why | what to do |
|---|---|---|
${listed.join('')}
`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
