import type { Command } from 'commander';
import { didYouMean } from '../config/did-you-mean.js';
import { KoiError } from '../koi-error.js';
import type { TimelineAnswer } from '../observe/http-sources.js';
import type { Status, TimelineEntry } from '../observe/status.js';
import { ControlClient } from './control-client.js';
import { type Paint, paint } from './paint.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';
import { parseTime } from './time.js';

/** Longer than the daemon gives itself, so that it can say what was the matter. */
const answerTimeoutMs = 35_000;

interface Options extends SocketOptions {
  readonly vr?: string;
  readonly since?: string;
  readonly follow?: boolean;
  readonly limit?: string;
  readonly json?: boolean;
}

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--vr <name>', 'only the events of this virtual router')
    .option('--since <time>', 'only events since then: 10m, or 2026-01-31T12:00:00Z')
    .option('--limit <count>', 'at most this many events, the newest ones (default: 1000)')
    .option('-f, --follow', 'go on with new events as they happen')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      `
The newest events come from what the agent has read, whether the log answers or not; a warning says what may be missing.
With --vr the newest 100,000 events of the log are looked through at most.

Examples:
  koi timeline --since 1h
  koi timeline --vr gw -f
  koi timeline --json | jq -r 'select(.type == "Claimed") | [.at, .node, .term] | @tsv'
`,
    )
    .action(async (options: Options) => {
      const client = new ControlClient(socketPathOf(options));
      const colours = paint(process.stdout);
      const print = (entry: TimelineEntry): void => {
        process.stdout.write(`${options.json === true ? JSON.stringify(entry) : formatEntry(entry, colours)}\n`);
      };
      const path = `/api/v1/timeline?${timelineQuery(options, Date.now())}`;
      if (options.vr !== undefined) await checkKnown(client, options.vr, path);
      if (options.follow === true) {
        for await (const entry of client.follow<TimelineEntry>(path)) print(entry);
        return;
      }
      const { entries, notice } = await client.get<TimelineAnswer>(path, answerTimeoutMs);
      entries.forEach(print);
      if (notice !== undefined) process.stderr.write(`warning: ${notice}\n`);
    });
}

/** A name that neither this node nor the log knows is a typing error; the log may know one that is no more. */
async function checkKnown(client: ControlClient, vr: string, path: string): Promise<void> {
  const { vrs } = await client.get<Status>('/api/v1/status');
  const names = vrs.map(({ name }) => name);
  if (names.includes(vr)) return;
  const query = new URLSearchParams(path.slice(path.indexOf('?')));
  query.delete('follow');
  query.delete('since');
  query.set('limit', '1');
  const { entries } = await client.get<TimelineAnswer>(`/api/v1/timeline?${query}`, answerTimeoutMs);
  if (entries.length > 0) return;
  const meant = didYouMean(vr, names);
  const known = names.length === 0 ? 'this node has none' : `the virtual routers are ${names.join(', ')}`;
  throw new KoiError('usage', `there is no virtual router '${vr}'`, {
    remedy: meant === undefined ? known : `did you mean '${meant}'?`,
  });
}

function timelineQuery({ vr, since, follow, limit }: Options, nowMs: number): string {
  const query = new URLSearchParams();
  if (vr !== undefined) query.set('vr', vr);
  if (since !== undefined) query.set('since', new Date(parseTime(since, '--since', nowMs)).toISOString());
  if (limit !== undefined) query.set('limit', limit);
  if (follow === true) query.set('follow', '1');
  return query.toString();
}

/** One event on one line: when, which virtual router, who did what, and what led to it. */
export function formatEntry({ at, vr, text }: TimelineEntry, colours: Paint): string {
  const [what, cause] = text.split(' ← ');
  const said =
    vr !== null && what?.startsWith(`${vr} `) === true ? `${colours.bold(vr)}${what.slice(vr.length)}` : what;
  return `${colours.dim(at)}  ${said}${cause === undefined ? '' : colours.dim(` ← ${cause}`)}`;
}
