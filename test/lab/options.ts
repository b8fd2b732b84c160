import { parseArgs } from 'node:util';

/** What the lab can run: Koi, and what it is compared with. */
export const implementations = ['keepalived', 'ucarp', 'koi'] as const;
export type Implementation = (typeof implementations)[number];

/** What the lab was asked to do. */
export interface LabOptions {
  readonly runs: number;
  readonly scenarios: readonly string[];
  readonly routers: number;
  readonly advertIntervalMs: number;
  readonly implementation: Implementation;
  readonly verbose: boolean;
  readonly all: boolean;
  readonly list: boolean;
  readonly exact: boolean;
}

export const help = `Koi's lab: a whole cluster on one machine, in network namespaces, and its failovers, measured.

  npm run lab                             the usual scenarios, 3 runs each
  npm run lab -- --all                    the long ones too
  npm run lab -- --runs 5                 the worst of 5, as the bounds are stated
  npm run lab -- --scenario carrier-lost  one scenario (repeatable)

  --runs N           runs of each scenario (default 3); the worst one counts
  --scenario NAME    only this scenario; may be given more than once
  --all              every scenario, also those that --list marks with *
  --routers N        2 (default) or 3 routers
  --advert MS        advert interval in milliseconds (default 1000)
  --daemon NAME      koi (default), keepalived or ucarp: the same failures on it, for comparison
  --exact            a time above its bound by what a busy machine can lose (500 ms) is broken too, not slow
  --list             names the scenarios
  --verbose          says what it does, step by step
  --help             this text

Needs root (namespaces, raw sockets). Touches nothing but namespaces it made, and removes them at the end, on errors
and on Ctrl-C. Details go to .lab/: results.json, the logs of all programs in .lab/last/. Exit code 0: nothing broke.
`;

/** A command line the lab does not understand; the message names the argument. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Reads the command line.
 *
 * @returns the options, or 'help'
 * @throws UsageError with the argument at fault
 */
export function parseOptions(args: readonly string[]): LabOptions | 'help' {
  const values = parse(args);
  if (values.help === true) return 'help';
  const daemon = values.daemon ?? 'koi';
  const implementation = implementations.find((each) => each === daemon);
  if (implementation === undefined) throw new UsageError(`--daemon ${daemon}: there is ${implementations.join(', ')}`);
  return {
    runs: wholeNumber('--runs', values.runs ?? '3', 1, 1000),
    scenarios: values.scenario ?? [],
    routers: wholeNumber('--routers', values.routers ?? '2', 2, 3),
    advertIntervalMs: wholeNumber('--advert', values.advert ?? '1000', 10, 10_000),
    implementation,
    verbose: values.verbose ?? false,
    all: values.all ?? false,
    list: values.list ?? false,
    exact: values.exact ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        runs: { type: 'string' },
        scenario: { type: 'string', multiple: true },
        routers: { type: 'string' },
        advert: { type: 'string' },
        daemon: { type: 'string' },
        all: { type: 'boolean' },
        list: { type: 'boolean' },
        exact: { type: 'boolean' },
        verbose: { type: 'boolean', short: 'v' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new UsageError(`${name} ${text}: a whole number from ${min} to ${max} is wanted`);
  }
  return value;
}
