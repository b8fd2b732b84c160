import type { Command } from 'commander';
import { KoiError } from '../koi-error.js';
import { emptyLogState, fold, type LogState } from '../log/projection.js';
import { type LogReader, readDeadlineMs, withLog } from './log-reader.js';
import { type Paint, paint } from './paint.js';
import { addSocketOptions, type SocketOptions } from './socket-option.js';
import { formatTable } from './table.js';
import { formatAgo, parseTime } from './time.js';

/** Where to stop reading. */
export type ReplayPoint =
  | { readonly kind: 'time'; readonly atMs: number }
  | { readonly kind: 'sequence'; readonly sequence: number };

/** The folded log as it was. Times are RFC 3339; what is not known is null. */
export interface Replay {
  /** When the last event read was stored, by the log's clock. */
  readonly at: string | null;
  readonly sequence: number;
  readonly vrs: readonly {
    readonly name: string;
    readonly owner: string | null;
    readonly term: number;
    readonly released: boolean;
    readonly since: string | null;
    readonly reason: string | null;
    readonly handover: { readonly from: string; readonly to: string; readonly state: string } | null;
    readonly nodes: readonly {
      readonly node: string;
      readonly state: string;
      readonly reason: string;
      readonly since: string;
    }[];
  }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly boot: string;
    readonly version: string | null;
    readonly stopped: boolean;
    readonly drainedSince: string | null;
    readonly lastSeen: string;
    readonly vrs: readonly { readonly name: string; readonly priority: number }[];
  }[];
  /** How often the history turned out to be another than the one known before. */
  readonly regressions: number;
  readonly unreadable: number;
}

export function define(command: Command): void {
  addSocketOptions(command)
    .requiredOption(
      '--at <time>',
      'the moment: 10m or -10m for ten minutes ago, 2026-01-31T12:00:00Z, or @1234 for an event',
    )
    .option('--json', 'print the state as JSON')
    .addHelpText(
      'after',
      `
Reads the log from its first event to that moment (by the log's clock) and shows what the nodes knew then: who owned
which virtual router with which term and why, how each node stood, and which handover was under way.

With -c FILE the log is read without the daemon; otherwise the daemon says where the log is. Leases are not part of it:
the log keeps only the newest one of each node.

Exits 0, or 4 when the log cannot be reached.

Examples:
  koi replay --at 2026-01-31T03:12:00Z
  koi replay --at -10m -c /etc/koi/koi.yaml
  koi replay --at @4711 --json | jq -r '.vrs[] | [.name, .owner, .term] | @tsv'
`,
    )
    .action(async (options: SocketOptions & { readonly at: string; readonly json?: boolean }) => {
      const point = parsePoint(options.at, Date.now());
      const replay = await withLog(options, (reader) => replayTo(reader, point));
      const text =
        options.json === true ? `${JSON.stringify(replay, null, 2)}\n` : formatReplay(replay, paint(process.stdout));
      process.stdout.write(text);
    });
}

/** @throws KoiError 'usage' */
export function parsePoint(text: string, nowMs: number): ReplayPoint {
  const sequence = /^@(\d{1,15})$/.exec(text)?.[1];
  if (sequence !== undefined) return { kind: 'sequence', sequence: Number(sequence) };
  if (text.startsWith('@')) {
    throw new KoiError('usage', `--at: '${text}' is not an event's sequence`, { remedy: 'write @1234' });
  }
  return { kind: 'time', atMs: parseTime(text.replace(/^-/, ''), '--at', nowMs) };
}

export async function replayTo({ events, names }: LogReader, point: ReplayPoint): Promise<Replay> {
  let state = emptyLogState;
  let atMs: number | undefined;
  const to = point.kind === 'sequence' ? { to: point.sequence } : {};
  for await (const stored of events.read({ ...to, deadlineMs: readDeadlineMs })) {
    if (point.kind === 'time' && stored.storedAtMs > point.atMs) break;
    state = fold(state, names, stored);
    atMs = stored.storedAtMs;
  }
  return describeState(state, atMs);
}

export function describeState(state: LogState, atMs: number | undefined): Replay {
  return {
    at: atMs === undefined ? null : time(atMs),
    sequence: state.sequence,
    vrs: [...state.virtualRouters.values()].map(({ name, holding, highestTerm, handover, standings }) => ({
      name,
      owner: holding?.owner ?? null,
      term: holding?.term ?? highestTerm,
      released: holding?.released ?? false,
      since: holding === undefined ? null : time(holding.sinceMs),
      reason: holding?.reason ?? null,
      handover: handover === undefined ? null : { from: handover.from, to: handover.to, state: handover.state },
      nodes: [...standings].map(([node, standing]) => ({
        node,
        state: standing.state,
        reason: standing.reason,
        since: time(standing.sinceMs),
      })),
    })),
    nodes: [...state.nodes.values()].map((node) => ({
      name: node.node,
      boot: node.boot,
      version: node.version ?? null,
      stopped: node.stopped,
      drainedSince: node.drainedSinceMs === undefined ? null : time(node.drainedSinceMs),
      lastSeen: time(node.lastSeenMs),
      vrs: node.virtualRouters.map(({ name, priority }) => ({ name, priority })),
    })),
    regressions: state.regressions,
    unreadable: state.unreadable,
  };
}

export function formatReplay(replay: Replay, colours: Paint): string {
  if (replay.at === null) return 'the log had no event then\n';
  const thenMs = Date.parse(replay.at);
  const heading = (names: readonly string[]) => names.map((text) => ({ text, shown: colours.dim(text) }));
  const lines = [`as of event ${colours.bold(`@${replay.sequence}`)}, ${replay.at}`, ''];
  const vrs = replay.vrs.map((vr) => {
    const owner = vr.owner === null ? 'nobody' : vr.released ? `nobody (${vr.owner} released)` : vr.owner;
    const handed =
      vr.handover === null ? '' : `, handover ${vr.handover.from} → ${vr.handover.to} ${vr.handover.state}`;
    const since = vr.since === null ? '-' : formatAgo(vr.since, thenMs);
    const why = `${vr.reason ?? '-'}${handed}`;
    return [vr.name, owner, String(vr.term), since, why].map((text) => ({ text }));
  });
  lines.push(formatTable([heading(['VR', 'OWNER', 'TERM', 'SINCE', 'REASON']), ...vrs]).trimEnd(), '');
  const standings = replay.vrs.flatMap((vr) =>
    vr.nodes.map(({ node, state, reason, since }) =>
      [vr.name, node, state, formatAgo(since, thenMs), reason].map((text) => ({ text })),
    ),
  );
  if (standings.length > 0) {
    lines.push(formatTable([heading(['VR', 'NODE', 'STATE', 'SINCE', 'REASON']), ...standings]).trimEnd(), '');
  }
  const nodes = replay.nodes.map((node) => {
    const how = node.stopped ? 'stopped' : node.drainedSince === null ? 'running' : 'drained';
    const priorities = node.vrs.map(({ name, priority }) => `${name} (${priority})`).join(', ');
    return [node.name, how, formatAgo(node.lastSeen, thenMs), node.version ?? '-', priorities].map((text) => ({
      text,
    }));
  });
  lines.push(formatTable([heading(['NODE', 'STATE', 'LAST SEEN', 'VERSION', 'PRIORITIES']), ...nodes]).trimEnd());
  if (replay.regressions + replay.unreadable > 0) {
    const found = `${replay.regressions} breaks of the history and ${replay.unreadable} unreadable events before this`;
    lines.push('', `${colours.yellow('warning:')} ${found}; koi audit says which`);
  }
  return `${lines.join('\n')}\n`;
}

const time = (ms: number): string => new Date(ms).toISOString();
