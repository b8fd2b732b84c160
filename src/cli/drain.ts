import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { DrainedRouter, DrainProgress } from '../agent/drain-desk.js';
import { KoiError } from '../koi-error.js';
import type { Status } from '../observe/status.js';
import { ControlClient } from './control-client.js';
import { readTimeout } from './handover.js';
import { type Paint, paint } from './paint.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';

const lookEveryMs = 100;
/** How long an agent may take from its start until it knows its dataplane and the log. */
const settleMs = 5_000;
/** More than this many are not listed one by one where all went well. */
const listedMax = 20;

interface Options extends SocketOptions {
  readonly force?: boolean;
  readonly untilRestart?: boolean;
  readonly timeout: string;
  readonly json?: boolean;
}

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--force', 'release what nobody can take, too: its addresses are down then')
    .option('--until-restart', 'only until the dataplane starts again: before it is stopped to be upgraded')
    .option('--timeout <duration>', 'stop waiting after so long; the daemon goes on', '15s')
    .option('--json', 'print {drained, since, done, vrs} as JSON, once at the end')
    .addHelpText(
      'after',
      `
This node hands over everything it is master of, and takes nothing until \`koi undrain\`, not even after a restart. What
nobody can take it goes on serving, and hands over as soon as somebody can; with --force it is released all the same.

Exits 0 when this node serves nothing any more, 1 when it still serves something (which is printed, with the reason),
4 when no daemon answers. With --until-restart a daemon that is away is waited for, as long as the timeout says.

Examples:
  koi drain && systemctl stop koi.target
  koi drain --force
  koi drain --json | jq -r '.vrs[] | select(.outcome == "kept") | [.vr, .why] | @tsv'
`,
    )
    .action(async (options: Options) => {
      const timeoutMs = readTimeout(options.timeout);
      const client = new ControlClient(socketPathOf(options));
      const show = options.json === true ? () => undefined : reporter(process.stderr.isTTY === true);
      const asked: Asked = { force: options.force === true, untilRestart: options.untilRestart === true };
      const endMs = performance.now() + timeoutMs;
      const progress = await (asked.untilRestart ? drainThroughRestarts : drain)(client, asked, endMs, show);
      show(progress);
      const text =
        options.json === true ? `${JSON.stringify(progress, null, 2)}\n` : formatDrain(progress, paint(process.stdout));
      process.stdout.write(text);
      if (!isOutOfService(progress)) process.exitCode = 1;
    });
}

interface Asked {
  readonly force: boolean;
  readonly untilRestart: boolean;
}
type Client = Pick<ControlClient, 'get' | 'post'>;
type Show = (progress: DrainProgress) => void;

async function drain(client: Client, asked: Asked, endMs: number, show: Show): Promise<DrainProgress> {
  let progress = await client.post<DrainProgress>('/api/v1/drain', asked);
  while (!progress.done && performance.now() < endMs) {
    show(progress);
    await pause(lookEveryMs);
    progress = await client.post<DrainProgress>('/api/v1/drain/progress', {});
  }
  return progress;
}

/**
 * As `drain`, also where the agent is away for a while: an upgrade may restart the two at the same time, and a new agent
 * knows nothing of a drain that was to end with the dataplane.
 *
 * @param endMs on the monotonic clock, in milliseconds: waits no longer for the agent
 * @throws KoiError 'unreachable' where it stays away until then
 */
export async function drainThroughRestarts(
  client: Client,
  asked: Asked,
  endMs: number,
  show: Show,
): Promise<DrainProgress> {
  for (;;) {
    const isLast = performance.now() + lookEveryMs >= endMs;
    try {
      await agentSettled(client, endMs);
      const progress = await drain(client, asked, endMs, show);
      if (progress.drained || isLast) return progress;
    } catch (error) {
      if (isLast || !(error instanceof KoiError) || error.code !== 'unreachable') throw error;
    }
    await pause(lookEveryMs);
  }
}

/** A new agent can hand over once it has heard its dataplane and joined the log, which may be away for longer. */
async function agentSettled(client: Client, endMs: number): Promise<void> {
  const settledMs = Math.min(endMs, performance.now() + settleMs);
  for (;;) {
    const { dataplane, log } = await client.get<Pick<Status, 'dataplane' | 'log'>>('/api/v1/status');
    if ((dataplane.up && log.connected) || performance.now() + lookEveryMs >= settledMs) return;
    await pause(lookEveryMs);
  }
}

/** Whether the node serves nothing any more, and will not. */
export const isOutOfService = ({ drained, done, vrs }: DrainProgress): boolean =>
  drained && done && vrs.every(({ outcome }) => outcome === 'handed_over' || outcome === 'released');

/** How far it is, on a terminal only. */
function reporter(isTerminal: boolean): (progress: DrainProgress) => void {
  if (!isTerminal) return () => undefined;
  return ({ vrs, done }) => {
    const settled = vrs.filter(({ outcome }) => outcome !== 'waiting').length;
    process.stderr.write(done ? '\r\u001b[K' : `\r${settled} of ${vrs.length} virtual routers\u001b[K`);
  };
}

export function formatDrain({ drained, since, done, vrs }: DrainProgress, colours: Paint): string {
  if (!drained) return 'this node is in service: somebody has undrained it meanwhile\n';
  const gone = vrs.filter(({ outcome }) => outcome === 'handed_over');
  const rest = vrs.filter(({ outcome }) => outcome !== 'handed_over');
  const slowestMs = Math.max(0, ...gone.map(({ tookMs }) => tookMs ?? 0));
  const lines = [`${colours.bold('drained')} since ${since ?? '?'}: this node takes nothing over until koi undrain`];
  if (gone.length > listedMax) lines.push(`${gone.length} handed over, the slowest in ${slowestMs.toFixed(1)} ms`);
  else lines.push(...gone.map((router) => describe(router, colours)));
  lines.push(...rest.map((router) => describe(router, colours)));
  if (vrs.length === 0) lines.push('it was the master of nothing');
  if (!done) lines.push('not done yet: the daemon goes on; ask again with koi drain, or see koi status');
  if (rest.some(({ outcome }) => outcome === 'kept')) {
    lines.push('what it still serves goes as soon as another node can take it; koi drain --force releases it now');
  }
  return `${lines.join('\n')}\n`;
}

function describe({ vr, outcome, to, tookMs, why }: DrainedRouter, colours: Paint): string {
  const name = colours.bold(vr);
  switch (outcome) {
    case 'handed_over':
      return `${name}: ${to} has taken over in ${(tookMs ?? 0).toFixed(1)} ms`;
    case 'released':
      return `${name}: ${colours.yellow('released')}${why === null ? '' : `, although ${why}`}`;
    case 'kept':
      return `${name}: ${colours.red('still served here')}: ${why}`;
    case 'waiting':
      return `${name}: waiting`;
  }
}
