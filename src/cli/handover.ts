import type { Command } from 'commander';
import { parseDurationMs } from '../config/duration.js';
import { KoiError } from '../koi-error.js';
import { ControlClient } from './control-client.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';

/** What the daemon may take to answer, beyond the handover itself. */
const answerMarginMs = 2000;

/** What the daemon answers. */
export type HandoverReport =
  | {
      readonly kind: 'moved';
      readonly vr: string;
      readonly from: string;
      readonly to: string;
      readonly term: number;
      readonly tookMs: number;
    }
  | { readonly kind: 'there'; readonly vr: string; readonly to: string; readonly term: number };

interface Options extends SocketOptions {
  readonly to?: string;
  readonly timeout: string;
  readonly json?: boolean;
}

export function define(command: Command): void {
  addSocketOptions(command.argument('<vr>', 'the virtual router'))
    .option('--to <node>', 'to this node (default: the best placed one that can serve)')
    .option('--timeout <duration>', 'give up after so long', '5s')
    .option('--json', 'print {kind, vr, from, to, term, tookMs} as JSON')
    .addHelpText(
      'after',
      `
Make-before-break: the other node attaches and serves before this one lets go, and no packet is lost (with arbitration:
strict the master lets go first). It can be asked on any node of the cluster; the master is told. Where the other node
cannot serve, the master goes on, and the reason is printed. A log that cannot be asked yet, since it has just begun anew, is
waited for, for half of the timeout.

Exits 0 when the other node serves, 1 when it does not and the master goes on, 2 for an unknown virtual router or node,
4 when the daemon, the master or the log cannot be reached.

Preemption may bring it back: with preempt, a better placed node asks for the mastership again. To keep this node out,
use koi drain.

Examples:
  koi handover gw
  koi handover gw --to r2
  koi handover gw -c /etc/koi/koi.yaml --json | jq .tookMs
`,
    )
    .action(async (vr: string, options: Options) => {
      const timeoutMs = readTimeout(options.timeout);
      const client = new ControlClient(socketPathOf(options));
      const asked = { vr, to: options.to ?? null, timeoutMs };
      const report = await client.post<HandoverReport>('/api/v1/handover', asked, timeoutMs + answerMarginMs);
      process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : formatReport(report));
    });
}

/** @throws KoiError 'usage' */
export function readTimeout(text: string): number {
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs !== undefined && timeoutMs > 0 && timeoutMs <= 60_000) return timeoutMs;
  throw new KoiError('usage', `--timeout: '${text}' is not possible`, { remedy: 'write 500ms, 10s or at most 1m' });
}

export function formatReport(report: HandoverReport): string {
  const { vr, to, term } = report;
  if (report.kind === 'there') return `${vr}: ${to} is the master already, with term ${term}\n`;
  return `${vr}: ${to} has taken over from ${report.from} in ${report.tookMs.toFixed(1)} ms, with term ${term}\n`;
}
