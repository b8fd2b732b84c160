import type { OwnersSince } from './ownership.js';
import type { RunResult } from './run-scenario.js';
import type { Bound, Scenario, Timing } from './scenario.js';

/** Colours, where the output is a terminal that wants them. */
export interface Paint {
  good(text: string): string;
  fair(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}

export function paintFor(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv): Paint {
  const colours = stream.isTTY === true && (environment.NO_COLOR ?? '') === '';
  const sequence = (code: number) => (text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { good: sequence(32), fair: sequence(33), bad: sequence(31), dim: sequence(2), bold: sequence(1) };
}

/** All runs of a scenario in one line. */
export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  readonly bound: Bound;
  readonly runs: readonly RunResult[];
  readonly worstOutageMs: number;
  readonly medianOutageMs: number;
  readonly worstLost: number;
  /** The worst; undefined where a run never came to exactly one owner. */
  readonly worstOneOwnerMs: number | undefined;
  readonly worstSeveralMs: number;
  readonly promise: string | undefined;
  readonly wrongMacs: number;
  /** Nothing broke, and a time was above its bound by what a busy machine can lose. */
  readonly slow: boolean;
  readonly ok: boolean;
}

/** Sums up the runs of a scenario: the worst counts. */
export function summarize(scenario: Scenario, timing: Timing, runs: readonly RunResult[]): ScenarioResult {
  const outages = runs.map((run) => run.outageMs).sort((a, b) => a - b);
  const owners = runs.map((run) => run.oneOwnerMs);
  return {
    name: scenario.name,
    title: scenario.title,
    bound: scenario.bound(timing),
    runs,
    worstOutageMs: outages.at(-1) ?? 0,
    medianOutageMs: outages[Math.floor((outages.length - 1) / 2)] ?? 0,
    worstLost: Math.max(0, ...runs.map((run) => run.lost)),
    worstOneOwnerMs: owners.includes(undefined) ? undefined : Math.max(0, ...owners.map((ms) => ms ?? 0)),
    worstSeveralMs: Math.max(0, ...runs.map((run) => run.severalOwnersMs)),
    promise: scenario.promise,
    wrongMacs: runs.reduce((sum, run) => sum + run.wrongFrames.length, 0),
    slow: runs.some((run) => run.slow.length > 0),
    ok: runs.length > 0 && runs.every((run) => run.broken.length === 0),
  };
}

/** One line about one run. */
export function runLine(result: RunResult, paint: Paint): string {
  const owner = result.oneOwnerMs === undefined ? 'never one owner' : `one owner after ${ms(result.oneOwnerMs)}`;
  const moved =
    result.successor === result.victim ? result.victim : `${result.victim} → ${result.successor ?? 'nobody'}`;
  const facts = `outage ${ms(result.outageMs)}, ${result.lost} lost, ${owner}, ${result.wrongFrames.length} wrong MACs`;
  return `${moved}: ${facts}  ${verdictOn(result, paint)}`;
}

function verdictOn({ broken, slow }: RunResult, paint: Paint): string {
  if (broken.length > 0) return paint.bad(`BROKEN: ${[...broken, ...slow].join('; ')}`);
  return slow.length > 0 ? paint.fair(`slow: ${slow.join('; ')}`) : paint.good('ok');
}

/** Who held the VIP when, in one line: `r1 · 3.01 s r1+r2 · 3.98 s r2`. */
export function ownersLine(history: readonly OwnersSince[]): string {
  return history
    .map(({ afterMs, owners }, index) => {
      const who = owners.join('+') || 'nobody';
      return index === 0 ? who : `${(afterMs / 1000).toFixed(afterMs < 1000 ? 3 : 2)} s ${who}`;
    })
    .join(' · ');
}

const headings = [
  'scenario',
  'outage worst',
  'median',
  'bound',
  'lost',
  'one owner after',
  'bound',
  'two owners',
  'bound',
  'wrong MACs',
  '',
];

/** The final table; widths are those of the text without colours. */
export function table(results: readonly ScenarioResult[], paint: Paint): string {
  const rows = results.map((result) => [
    result.title,
    ms(result.worstOutageMs),
    ms(result.medianOutageMs),
    bound(result.bound.outageMs),
    result.bound.lost === undefined ? `${result.worstLost}` : `${result.worstLost} ≤ ${result.bound.lost}`,
    result.worstOneOwnerMs === undefined ? 'never' : ms(result.worstOneOwnerMs),
    bound(result.bound.oneOwnerMs),
    ms(result.worstSeveralMs),
    bound(result.bound.severalMs),
    `${result.wrongMacs}`,
    wordFor(result),
  ]);
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  const painted = rows.map((row, i) => paintOf(results[i], paint)(line(row)));
  const promises = results.flatMap(({ title, promise }) =>
    promise === undefined ? [] : [`${title}: ${paint.dim(promise)}`],
  );
  return [paint.bold(line(headings)), ...painted, ...(promises.length === 0 ? [] : ['', ...promises])].join('\n');
}

function wordFor({ ok, slow }: ScenarioResult): 'ok' | 'slow' | 'BROKEN' {
  if (!ok) return 'BROKEN';
  return slow ? 'slow' : 'ok';
}

function paintOf(result: ScenarioResult | undefined, paint: Paint): (text: string) => string {
  if (result?.ok !== true) return paint.bad;
  return result.slow ? paint.fair : paint.good;
}

function ms(value: number): string {
  return `${value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

function bound(value: number | undefined): string {
  return value === undefined ? '' : `≤ ${value.toFixed(0)} ms`;
}
