import type { Command } from 'commander';
import { evidenceWords } from '../core/detect/episode.js';
import type { Status, StatusEpisode, StatusLease, StatusVr, StatusVrNode } from '../observe/status.js';
import { ControlClient } from './control-client.js';
import { type Paint, paint } from './paint.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';
import { type Cell, formatTable } from './table.js';
import { formatAgo } from './time.js';

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--json', 'print the whole status as JSON')
    .addHelpText(
      'after',
      `
Exits 0 when this node is healthy, 1 when its dataplane or guard is down or a virtual router is in fault or fenced,
4 when no daemon answers. With --json the exit code is the same.

Examples:
  koi status
  koi status -c /etc/koi/koi.yaml
  koi status --json | jq -r '.vrs[] | [.name, .state, .owner] | @tsv'
`,
    )
    .action(async (options: SocketOptions & { readonly json?: boolean }) => {
      const status = await new ControlClient(socketPathOf(options)).get<Status>('/api/v1/status');
      process.stdout.write(
        options.json === true
          ? `${JSON.stringify(status, null, 2)}\n`
          : formatStatus(status, Date.now(), paint(process.stdout)),
      );
      if (!isHealthy(status)) process.exitCode = 1;
    });
}

/** Whether this node does what it is there for: both helpers alive and no virtual router unable to serve. */
export function isHealthy(status: Status): boolean {
  const unable = status.vrs.some(({ state }) => state === 'fault' || state === 'fenced');
  return status.dataplane.up && status.guard.up && !unable;
}

/** The status as people read it. */
export function formatStatus(status: Status, nowMs: number, colours: Paint): string {
  const up = (good: boolean, yes: string, no: string): string => (good ? colours.green(yes) : colours.red(no));
  const { log } = status;
  const parts = [
    `node ${colours.bold(status.node)} of ${status.cluster}, koi ${status.version}`,
    ...(status.drained === null ? [] : [colours.yellow(`drained since ${status.drained}: koi undrain takes it back`)]),
    `dataplane ${up(status.dataplane.up, 'up', 'DOWN')}  guard ${up(status.guard.up, 'up', 'DOWN')}  ` +
      `log ${up(log.connected, `connected${log.server === null ? '' : ` (${log.server})`}`, 'AWAY')}` +
      `${log.outbox > 0 ? `, ${log.outbox} waiting` : ''}${log.lag > 0 ? `, ${log.lag} behind` : ''}`,
    '',
    formatTable([
      heading(
        ['VR', 'ID', 'PROTOCOL', 'INTERFACE', 'STATE', 'SINCE', 'TERM', 'PRIORITY', 'OWNER', 'ADDRESSES'],
        colours,
      ),
      ...status.vrs.map((vr) => vrRow(vr, nowMs, colours)),
    ]),
  ];
  const everywhere = [...status.vrs, ...status.elsewhere];
  if (everywhere.length > 0) {
    parts.push(
      formatTable([
        heading(['VR', 'NODE', 'STATE', 'SINCE', 'PRIORITY', 'REASON', 'WHY'], colours),
        ...everywhere.flatMap(({ name, nodes }) => nodes.map((node) => nodeRow(name, node, nowMs, colours))),
      ]),
    );
  }
  for (const { name, tracks } of status.vrs) {
    for (const { name: track, level, detail } of tracks) {
      const shown = level === 'up' ? colours.green(level) : level === 'down' ? colours.red(level) : level;
      parts.push(`${colours.bold(name)} tracks ${track}: ${shown}, ${detail}`);
    }
  }
  for (const episode of status.episodes) parts.push(...episodeLines(episode, nowMs, colours));
  for (const { name, warnings } of status.vrs) {
    for (const warning of warnings) parts.push(`${colours.yellow('warning:')} ${name}: ${warning}`);
  }
  for (const warning of status.warnings) parts.push(`${colours.yellow('warning:')} ${warning}`);
  if (status.nodes.length > 0) {
    parts.push(
      '',
      formatTable([
        heading(['NODE', 'LAST SEEN', 'LAN ADDRESS', 'LEASE', 'VIRTUAL ROUTERS'], colours),
        ...status.nodes.map(({ name, lastSeen, lanAddress, lease, vrs, drained }) => [
          { text: drained === null ? name : `${name} (drained)` },
          { text: lastSeen === null ? 'never' : `${formatAgo(lastSeen, nowMs)} ago` },
          { text: lanAddress ?? '-' },
          leaseCell(lease, colours),
          { text: vrs.map(nodeVr).join(', ') },
        ]),
      ]),
    );
  }
  return `${parts.join('\n').trimEnd()}\n`;
}

/** With the first digits of the configuration's digest, which is the same on all nodes while they agree. */
const nodeVr = ({ name, state, priority, configuration }: Status['nodes'][number]['vrs'][number]): string =>
  `${name} ${state} (${priority})${configuration === null ? '' : ` [${configuration.slice(0, 8)}]`}`;

const heading = (names: readonly string[], colours: Paint): Cell[] =>
  names.map((text) => ({ text, shown: colours.dim(text) }));

function nodeRow(vr: string, node: StatusVrNode, nowMs: number, colours: Paint): Cell[] {
  return [
    { text: vr, shown: colours.bold(vr) },
    { text: node.node },
    { text: node.state, shown: shadeOf(node.state, colours)(node.state) },
    { text: node.since === null ? '-' : formatAgo(node.since, nowMs) },
    { text: String(node.priority) },
    { text: node.reason ?? '-' },
    { text: node.why },
  ];
}

/** What is wrong now: what, who, since when, by whom it is seen, and what to do. */
function episodeLines(episode: StatusEpisode, nowMs: number, colours: Paint): string[] {
  const { kind, vr, node, text, remedy, evidence, since } = episode;
  const about = vr === null ? '' : `${colours.bold(vr)}: `;
  const found = evidenceWords(evidence);
  const seen = `${found === '' ? '' : `${found}, `}seen by ${node} for ${formatAgo(since, nowMs)}`;
  return [`${colours.red(kind)} ${about}${text} (${seen})`, `  → ${remedy}`];
}

function shadeOf(state: string, colours: Paint): (text: string) => string {
  if (state === 'master') return colours.green;
  return state === 'fault' || state === 'fenced' ? colours.red : (text) => text;
}

function leaseCell({ state, remainingMs }: StatusLease, colours: Paint): Cell {
  if (state === 'none') return { text: '-' };
  if (state === 'held') return { text: `${(remainingMs / 1000).toFixed(1)} s` };
  return { text: state, shown: colours.red(state) };
}

function vrRow(vr: StatusVr, nowMs: number, colours: Paint): Cell[] {
  const { state } = vr;
  return [
    { text: vr.name, shown: colours.bold(vr.name) },
    { text: String(vr.id) },
    { text: vr.protocol },
    { text: vr.interface },
    { text: state, shown: shadeOf(state, colours)(state) },
    { text: formatAgo(vr.since, nowMs) },
    { text: `${vr.term}${vr.standing === 'provisional' ? ' (provisional)' : ''}` },
    { text: String(vr.priority) },
    { text: vr.owner ?? '-' },
    { text: vr.vips.map(({ address, present }) => (present ? `${address}*` : address)).join(' ') },
  ];
}
