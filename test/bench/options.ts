import { parseArgs } from 'node:util';

/** What the benchmark was asked to do. */
export interface BenchOptions {
  readonly rounds: number;
  readonly intervalsMs: readonly number[];
  readonly counts: readonly number[];
  readonly cases: readonly BenchCase[];
}

export const benchCases = ['outage', 'load'] as const;
export type BenchCase = (typeof benchCases)[number];

export const help = `Koi beside keepalived, in the same namespaces, one after the other in the same run.

  npm run bench                              everything, 3 rounds: about 20 minutes
  npm run bench -- --case load --counts 50   one figure

  --rounds N         rounds of each case (default 3)
  --case NAME        outage: what the client feels of each failure; load: processor time, memory, start-up and takeover
                     of many virtual routers (repeatable; default both)
  --intervals MS,..  advert intervals of the outages (default 1000,100,10)
  --counts N,..      numbers of virtual routers of the load, 1 to 200 (default 1,50,200)
  --help             this text

Needs root. Prints medians, worst and ratios; writes .lab/bench.json. A ratio below 1 is in Koi's favour.
`;

/** A command line that the benchmark does not understand; the message names the argument. */
export class BenchUsageError extends Error {
  override readonly name = 'BenchUsageError';
}

/** @returns the options, or 'help' @throws BenchUsageError with the argument at fault */
export function parseBenchOptions(args: readonly string[]): BenchOptions | 'help' {
  const values = parse(args);
  if (values.help === true) return 'help';
  return {
    rounds: numbers('--rounds', values.rounds ?? '3', 1, 100)[0] ?? 3,
    intervalsMs: numbers('--intervals', values.intervals ?? '1000,100,10', 10, 10_000),
    counts: numbers('--counts', values.counts ?? '1,50,200', 1, 200),
    cases: (values.case ?? [...benchCases]).map(caseNamed),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string' },
        intervals: { type: 'string' },
        counts: { type: 'string' },
        case: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new BenchUsageError(error instanceof Error ? error.message : String(error));
  }
}

function caseNamed(name: string): BenchCase {
  const found = benchCases.find((each) => each === name);
  if (found === undefined) throw new BenchUsageError(`--case ${name}: there are ${benchCases.join(' and ')}`);
  return found;
}

function numbers(option: string, text: string, min: number, max: number): number[] {
  return text.split(',').map((part) => {
    const value = Number(part);
    if (part.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
      throw new BenchUsageError(
        `${option} ${text}: whole numbers from ${min} to ${max} are wanted, with commas between`,
      );
    }
    return value;
  });
}
