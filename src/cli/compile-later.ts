import { setFlagsFromString } from 'node:v8';

/** V8's own is 132 KiB in Node 20, and half of that later. */
const interruptBudgetBytes = 1 << 20;

/**
 * Has V8 optimize a function only after eight times as much work in it. A takeover of many runs code that has not run before,
 * and is over before it pays: while 200 addresses moved, 22 % of the processors' time of all processes of Koi went into
 * optimizing. What runs all the time is optimized all the same, some seconds later.
 */
export function compileLater(): void {
  setFlagsFromString(`--interrupt-budget=${interruptBudgetBytes}`);
}
