import { parseArgs } from 'node:util';
import { type Implementation, implementations } from '../lab/options.js';
import { loadedMax } from '../lab/setup.js';

/** What the benchmark was asked to do. */
export interface BenchOptions {
  readonly rounds: number;
  readonly intervalsMs: readonly number[];
  readonly counts: readonly number[];
  readonly cases: readonly BenchCase[];
  /** How many events are replayed. */
  readonly events: number;
  /** How long adverts and memory are watched at a time. */
  readonly watchMs: number;
  /** How many virtual routers are watched for their adverts and their memory. */
  readonly watched: number;
  /** While what goes on adverts are watched; undefined: each in turn. */
  readonly during: Disturbed | undefined;
  /** Only of this one. */
  readonly of: Implementation | undefined;
  /** Which Node Koi runs on. */
  readonly node: BenchNode;
}

/** The package's own, or the one that the benchmark itself runs on. */
export const benchNodes = ['packaged', 'this'] as const;
export type BenchNode = (typeof benchNodes)[number];

export const benchCases = ['outage', 'load', 'lateness', 'memory', 'log', 'replay'] as const;
export type BenchCase = (typeof benchCases)[number];

export const disturbances = ['nothing', 'busy', 'scrapes', 'agent'] as const;
export type Disturbed = (typeof disturbances)[number];

export const help = `Koi beside keepalived and ucarp, in the same namespaces, one after the other in the same run.

  npm run bench                              everything, 3 rounds: about half an hour
  npm run bench -- --case load --counts 50   one figure
  npm run bench -- --rounds 1                everything, each once

  --rounds N         rounds of each case (default 3)
  --case NAME        repeatable; default all:
                       outage    what the client feels of each failure
                       load      processor time, memory, start-up and takeover of many virtual routers
                       lateness  of the adverts of many virtual routers at 10 ms: idle, on a busy machine, under
                                 scrapes, while the agent is busy
                       memory    of all processes, and whether it grows
                       log       appends a second, and what a takeover waits for the log's word
                       replay    events a second, folded and re-checked
  --only NAME        koi, keepalived or ucarp (default all; ucarp takes part in the outages at adverts of whole seconds,
                     FRR in none: its backup keeps the address, on a link that it holds down)
  --node NAME        packaged (default): Koi runs on the Node that the Debian package brings, which is fetched once with
                     npm into the cache; this: on the Node that runs the benchmark. That goes for whatever is measured of
                     Koi, also for its code in the cases log and replay, which run it in processes of their own
  --intervals MS,..  advert intervals of the outages (default 1000,100,10); the memory is watched at the shortest
  --counts N,..      numbers of virtual routers of the load, 1 to ${loadedMax} (default 1,50,200,1000); above 200 they are
                     on several interfaces, with adverts of 1 s instead of 10 ms
  --watch SECONDS    how long adverts and memory are watched at a time (default 10)
  --watched N        and of how many virtual routers, 1 to 200 (default 200)
  --during NAME      only while nothing goes on, the machine is busy (two loops), scrapes come, or the agent is busy: nothing,
                     busy, scrapes, agent (default each in turn)
  --events N         events of the replay (default 1000000)
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
    counts: numbers('--counts', values.counts ?? '1,50,200,1000', 1, loadedMax),
    cases: (values.case ?? [...benchCases]).map((name) => oneOf('--case', name, benchCases)),
    events: numbers('--events', values.events ?? '1000000', 1_000, 10_000_000)[0] ?? 0,
    watchMs: (numbers('--watch', values.watch ?? '10', 1, 3_600)[0] ?? 0) * 1000,
    watched: numbers('--watched', values.watched ?? '200', 1, 200)[0] ?? 0,
    during: values.during === undefined ? undefined : oneOf('--during', values.during, disturbances),
    of: values.only === undefined ? undefined : oneOf('--only', values.only, implementations),
    node: oneOf('--node', values.node ?? 'packaged', benchNodes),
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
        only: { type: 'string' },
        node: { type: 'string' },
        events: { type: 'string' },
        watch: { type: 'string' },
        watched: { type: 'string' },
        during: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new BenchUsageError(error instanceof Error ? error.message : String(error));
  }
}

function oneOf<Name extends string>(option: string, name: string, names: readonly Name[]): Name {
  const found = names.find((each) => each === name);
  if (found === undefined) throw new BenchUsageError(`${option} ${name}: there are ${names.join(', ')}`);
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
