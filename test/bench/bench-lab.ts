import type { KoiProgram } from '../lab/koi.js';
import { Lab } from '../lab/lab.js';
import { type Implementation, implementations } from '../lab/options.js';
import type { Setup } from '../lab/setup.js';
import { ucarpRefuses } from '../lab/ucarp.js';
import type { BenchOptions } from './options.js';

/** What was asked for, and what runs Koi. */
export interface Bench extends BenchOptions {
  readonly program: KoiProgram;
}

const unasked = { runs: 1, scenarios: [], routers: 2, verbose: false, all: false, list: false, exact: false } as const;

export const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Whether one is measured: all are, unless only one was asked for. */
export const isAsked = (each: Implementation, of: Implementation | undefined): boolean =>
  of === undefined || each === of;

/** Who takes part in a comparison: whoever is asked for, and can do it. */
export const compared = (
  of: Implementation | undefined,
  { advertIntervalMs, virtualRouters }: { readonly advertIntervalMs: number; readonly virtualRouters: number },
): Implementation[] =>
  implementations.filter(
    (each) =>
      isAsked(each, of) && (each !== 'ucarp' || ucarpRefuses({ advertIntervalMs, virtualRouters }) === undefined),
  );

/** A lab whose daemons have not been started yet, for as long as `run` takes; they inherit `nodeOptions`. */
export async function withLab(
  implementation: Implementation,
  setup: Setup,
  advertIntervalMs: number,
  { program, nodeOptions }: { readonly program: KoiProgram; readonly nodeOptions?: string },
  run: (lab: Lab) => Promise<void>,
): Promise<void> {
  const before = process.env.NODE_OPTIONS;
  if (nodeOptions !== undefined) process.env.NODE_OPTIONS = `${before ?? ''} ${nodeOptions}`;
  const lab = new Lab({ ...unasked, advertIntervalMs, implementation }, setup, () => {}, program);
  try {
    await lab.open();
    await run(lab);
  } finally {
    lab.end();
    if (before === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = before;
  }
}

/** What fails is told, and nothing is measured; the rest goes on. */
export async function attempt(what: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    print(`${what}: not measured: ${error instanceof Error ? error.message : String(error)}`);
  }
}
