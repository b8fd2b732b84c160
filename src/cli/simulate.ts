import type { Command } from 'commander';
import { parseDurationMs } from '../config/duration.js';
import { KoiError } from '../koi-error.js';
import { type CampaignReport, runCampaign } from '../sim/campaign.js';
import { doubleMsMax, handoverMsMax, promises } from '../sim/promises.js';
import { type SimulationResult, simulate } from '../sim/simulation.js';
import type { TraceLine } from '../sim/trace.js';
import { type Mode, modes } from '../sim/world.js';

interface Options {
  readonly seed?: string;
  readonly runs?: string;
  readonly for?: string;
  readonly nodes?: string;
  readonly mode?: string;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

const runsDefault = 200;
const progressEveryMs = 5000;
const tailLines = 40;

export function define(command: Command): void {
  command
    .option('--seed <number>', 'run this seed; with --runs or --for, the first one')
    .option('--runs <count>', `seeds to run (default: 1 with --seed, otherwise ${runsDefault})`)
    .option('--for <duration>', 'run new seeds for this long, e.g. 10m')
    .option('--nodes <count>', 'nodes of each cluster, 2 to 8 (default: 2 to 4, drawn from the seed)')
    .option('--mode <mode>', 'arbitration: wire, log or strict (default: drawn from the seed)')
    .option('-v, --verbose', 'print everything that happens, in order; for one seed')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Runs whole clusters in virtual time: the real election, agents' desks and log, on a LAN, clocks, disks and processes that
fail as the seed says, and holds every moment against the promises. The same seed does the same again. Exits 0 when every
promise was kept, 1 when one was broken; each broken one is printed with the command that replays it.

Examples:
  koi simulate --for 5m
  koi simulate --mode log --runs 1000
  koi simulate --seed 4711 --verbose
`,
    )
    .action((options: Options) => run(options));
}

async function run(options: Options): Promise<void> {
  const seed = wholeNumber('--seed', options.seed, 0, Number.MAX_SAFE_INTEGER);
  const runs = wholeNumber('--runs', options.runs, 1, Number.MAX_SAFE_INTEGER);
  const nodes = wholeNumber('--nodes', options.nodes, 2, 8);
  const forMs = options.for === undefined ? undefined : readDuration('--for', options.for);
  const mode = readMode(options.mode);
  if (options.verbose === true) {
    if (seed === undefined || runs !== undefined || forMs !== undefined) {
      throw new KoiError('usage', '--verbose prints one seed', { remedy: 'give --seed, without --runs and --for' });
    }
    tellAll(await simulate({ seed, nodes, mode, keepsTrace: true }), options.json === true);
    return;
  }
  const startMs = performance.now();
  const endMs = forMs === undefined ? Number.POSITIVE_INFINITY : startMs + forMs;
  const showsProgress = process.stderr.isTTY === true && options.json !== true;
  let progressAtMs = startMs + progressEveryMs;
  const report = await runCampaign({
    nodes,
    mode,
    firstSeed: seed ?? (forMs === undefined ? 1 : Math.floor(Date.now() / 1000)),
    runs: runs ?? (forMs !== undefined ? undefined : seed === undefined ? runsDefault : 1),
    goesOn: (soFar) => {
      const nowMs = performance.now();
      if (showsProgress && nowMs >= progressAtMs) {
        progressAtMs = nowMs + progressEveryMs;
        process.stderr.write(`${soFar.runs} clusters, ${soFar.failures.length} broken promises\n`);
      }
      return nowMs < endMs;
    },
  });
  tell(report, options, performance.now() - startMs);
}

function tell(report: CampaignReport, options: Options, tookMs: number): void {
  if (report.failures.length > 0) process.exitCode = 1;
  if (options.json === true) {
    const failures = report.failures.map(({ trace: _, ...failure }) => ({
      ...failure,
      replay: replayOf(failure, options),
    }));
    process.stdout.write(`${JSON.stringify({ ...report, failures, tookMs }, null, 2)}\n`);
    return;
  }
  for (const failure of report.failures) {
    const { violation } = failure;
    if (violation === undefined) continue;
    write([
      `seed ${failure.seed} (${failure.mode}, ${failure.nodes} nodes) broke a promise after ${seconds(violation.atMs)}: ${violation.text}`,
      `  promised: ${promises[violation.promise]}`,
      `  replay:   ${replayOf(failure, options)}`,
      ...failure.trace.filter(isTelling).slice(-tailLines).map(formatLine),
      '',
    ]);
  }
  const { tally } = report;
  const perSecond = (report.runs / tookMs) * 1000;
  write([
    `${report.runs} clusters, ${seconds(report.simulatedMs)} of their time in ${seconds(tookMs)} (${perSecond.toFixed(0)} a second): ${report.failures.length === 0 ? 'every promise kept' : `${report.failures.length} broke a promise`}`,
    `  ${tally.takeovers} takeovers, ${tally.handovers} handovers, ${tally.switches} configurations switched, ${tally.logResets} times the log lost events`,
    `  two holders that could know of each other: at most ${tally.longestJoinedDoubleMs.toFixed(0)} ms (allowed: one advert interval and ${doubleMsMax(0)} ms; in a handover ${handoverMsMax} ms)`,
    `  ${tally.splitBrains} times another master was heard; of two that held at once for over 100 ms ${tally.doublesTold} were told of, and ${tally.doublesExcused} nobody could know; beyond the advert interval: at most ${tally.longestBeyondIntervalMs.toFixed(0)} ms`,
    `  priority 0 beside a serving master: ${tally.needlessResignations}; a third node moved by it: ${tally.needlessClaims}`,
  ]);
}

function tellAll(result: SimulationResult, isJson: boolean): void {
  if (result.violation !== undefined) process.exitCode = 1;
  if (isJson) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  const { violation } = result;
  write([
    ...result.trace.map(formatLine),
    '',
    `seed ${result.seed}: ${result.mode}, ${result.nodes} nodes, adverts every ${result.routers[0]?.advertIntervalMs} ms; trace ${result.traceHash}`,
    violation === undefined ? 'every promise kept' : `broken: ${promises[violation.promise]}\n  ${violation.text}`,
  ]);
}

function replayOf({ seed }: Pick<SimulationResult, 'seed'>, { nodes, mode }: Options): string {
  const rest = [nodes === undefined ? '' : ` --nodes ${nodes}`, mode === undefined ? '' : ` --mode ${mode}`].join('');
  return `koi simulate --seed ${seed}${rest} --verbose`;
}

/** Adverts that come and go fill a trace and tell nothing. */
const isTelling = ({ text }: TraceLine): boolean => !/^(?:tick|advert|announce|termSaved|saveTerm) /.test(text);

const formatLine = ({ atMs, node, text }: TraceLine): string =>
  `${(atMs / 1000).toFixed(6).padStart(12)}  ${node.padEnd(4)} ${text}`;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

const write = (lines: readonly string[]): void => void process.stdout.write(`${lines.join('\n')}\n`);

function wholeNumber(option: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new KoiError('usage', `${option} ${text}: not a whole number`, {
    remedy: `write one ${most > 1e9 ? `from ${least}` : `from ${least} to ${most}`}`,
  });
}

function readDuration(option: string, text: string): number {
  const valueMs = parseDurationMs(text);
  if (valueMs !== undefined && valueMs > 0) return valueMs;
  throw new KoiError('usage', `${option} ${text}: not a duration`, { remedy: 'write 90s, 10m or 2h' });
}

function readMode(text: string | undefined): Mode | undefined {
  const mode = modes.find((known) => known === text);
  if (text === undefined || mode !== undefined) return mode;
  throw new KoiError('usage', `--mode ${text}: there is no such mode`, { remedy: `write ${modes.join(', ')}` });
}
