import type { Command } from 'commander';
import { parseDurationMs } from '../config/duration.js';
import { KoiError } from '../koi-error.js';
import { LogAudit } from '../log/audit.js';
import { defaultBounds } from '../log/audit-service.js';
import type { AuditWord, Finding } from '../log/audit-words.js';
import { readDeadlineMs, withLog } from './log-reader.js';
import { type Paint, paint } from './paint.js';
import { addSocketOptions, type SocketOptions } from './socket-option.js';
import { parseTime } from './time.js';

/** Of each kind so many are shown, and the rest counted: a broken log can hold a million. */
const shownMax = 20;
const jsonMax = 10_000;

interface Options extends SocketOptions {
  readonly since?: string;
  readonly bound: string;
  readonly clockTolerance: string;
  readonly json?: boolean;
}

export interface AuditReport {
  readonly ok: boolean;
  readonly events: number;
  readonly tookMs: number;
  /** How often each was found, the listed ones and the others. */
  readonly counts: Readonly<Partial<Record<AuditWord, number>>>;
  readonly findings: readonly Finding[];
}

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--since <time>', 'begin with what was stored then: 10m, or 2026-01-31T12:00:00Z')
    .option('--bound <duration>', 'how long two masters may overlap: the longest advert interval and a reaction', '1s')
    .option('--clock-tolerance <duration>', "how far the nodes' clocks may be apart", '250ms')
    .option('--json', 'print {ok, events, tookMs, counts, findings} as JSON')
    .addHelpText(
      'after',
      `
Reads the log from its first event and re-checks, without asking anybody: that the chain of hashes over each virtual
router's ownership is whole, no term was owned twice, terms only grew, nobody claimed over a holder without knowing that
it was gone, nobody announced before the attach, nobody served without a claim, no two served at once for longer than the
bound, and that no event is missing, repeated, unreadable or in the wrong place. Times are the nodes' wall clocks.

With -c FILE the log is read without the daemon; otherwise the daemon says where the log is. A note (marked with ·) is
within the promises and does not change the exit code.

Exits 0 when nothing is broken, 1 when something is or the log is empty, 4 when the log cannot be reached.

Examples:
  koi audit
  koi audit --since 24h -c /etc/koi/koi.yaml
  koi audit --json | jq -r '.findings[] | select(.level == "broken") | [.sequence, .what, .detail] | @tsv'
`,
    )
    .action(async (options: Options) => {
      const { sinceMs, bounds } = readOptions(options);
      const report = await withLog(options, async ({ events, names }) => {
        const collected = new Collected(options.json === true ? jsonMax : shownMax);
        const began = performance.now();
        const partial = sinceMs !== undefined;
        const audit = new LogAudit(names, { bounds, partial, onFinding: (finding) => collected.add(finding) });
        const from = sinceMs === undefined ? {} : { sinceMs };
        for await (const stored of events.read({ ...from, deadlineMs: readDeadlineMs })) audit.read(stored);
        audit.finish();
        return collected.report(audit.events, performance.now() - began);
      });
      const text =
        options.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatAudit(report, paint(process.stdout));
      process.stdout.write(text);
      if (!report.ok) process.exitCode = 1;
      if (report.events === 0 && sinceMs === undefined) {
        throw new KoiError('protocol', 'the log has no event of this cluster: nothing is proven by that', {
          remedy: 'compare cluster and log.servers with those of the nodes',
        });
      }
    });
}

function readOptions({ since, bound, clockTolerance }: Options) {
  const overlapMs = readDuration('--bound', bound);
  const clockMs = readDuration('--clock-tolerance', clockTolerance);
  const sinceMs = since === undefined ? undefined : parseTime(since, '--since', Date.now());
  return { sinceMs, bounds: { overlapMs, clockMs, handoverMs: defaultBounds.handoverMs } };
}

function readDuration(option: string, text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined) return ms;
  throw new KoiError('usage', `${option}: '${text}' is not a duration`, { remedy: 'write 250ms or 2s' });
}

/** Findings as they come, the first of each kind and the number of all. */
export class Collected {
  readonly #max: number;
  readonly #counts = new Map<AuditWord, number>();
  readonly #findings: Finding[] = [];
  #broken = false;

  constructor(max: number) {
    this.#max = max;
  }

  add(finding: Finding): void {
    const count = (this.#counts.get(finding.what) ?? 0) + 1;
    this.#counts.set(finding.what, count);
    if (finding.level === 'broken') this.#broken = true;
    if (count <= this.#max) this.#findings.push(finding);
  }

  report(events: number, tookMs: number): AuditReport {
    const counts = Object.fromEntries(this.#counts);
    return { ok: !this.#broken, events, tookMs: Math.round(tookMs), counts, findings: this.#findings };
  }
}

/** What was found, each kind with what it means, in the order of the log. */
export function formatAudit({ ok, events, tookMs, counts, findings }: AuditReport, colours: Paint): string {
  const lines = findings.map(({ what, level, sequence, at, node, vr, detail }) => {
    const mark = level === 'broken' ? colours.red('✗') : colours.yellow('·');
    const where = [node, vr].filter((name) => name !== null).join(' ');
    return `${mark} ${colours.bold(what)} ${colours.dim(`@${sequence} ${at}`)}${where === '' ? '' : ` ${where}`}: ${detail}`;
  });
  const meanings = new Map(findings.map(({ what, means }) => [what, means]));
  for (const [what, means] of meanings) lines.push(colours.dim(`${what}: ${means}`));
  for (const [what, count] of Object.entries(counts)) {
    const shown = findings.filter((finding) => finding.what === what).length;
    if (count > shown) lines.push(`${what}: ${count - shown} more`);
  }
  const verdict =
    events === 0
      ? 'nothing to judge'
      : ok
        ? colours.green('every promise was kept')
        : colours.red('something is broken');
  lines.push(`${events} event${events === 1 ? '' : 's'} read in ${(tookMs / 1000).toFixed(1)} s: ${verdict}`);
  return `${lines.join('\n')}\n`;
}
