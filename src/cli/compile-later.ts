import { setFlagsFromString } from 'node:v8';

/** By default it is 132 KiB. */
const interruptBudgetBytes = 1 << 20;
/** That of Node 20. Later ones do not know the flag, and have a compiler between the two that costs less. */
const withoutMiddleTier = 11;

/**
 * Has the V8 of Node 20 optimize a function only after eight times as much work in it. A takeover of many runs code that has not
 * run before, and is over before it pays: while 200 addresses moved, 26 % of the processors' time of dataplanes and agents went
 * into optimizing. What runs all the time is optimized all the same, some seconds later.
 */
export function compileLater(v8Version = process.versions.v8): void {
  if (Number.parseInt(v8Version, 10) !== withoutMiddleTier) return;
  setFlagsFromString(`--interrupt-budget=${interruptBudgetBytes}`);
}
