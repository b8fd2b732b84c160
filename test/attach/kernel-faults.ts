import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Binding } from '../../src/kernel/binding.js';

/** The kernel refuses, or does it and the answer is lost on the way. */
export type FaultTiming = 'refused' | 'answer lost';

export type FaultErrno = 'EPERM' | 'ENOBUFS' | 'ENOMEM';

export interface Fault {
  /** Counted from 1, since `arm`. */
  readonly call: number;
  readonly errno: FaultErrno;
  readonly timing: FaultTiming;
  /** Those after it as well. */
  readonly lasts?: boolean;
}

/** What gives something back never fails; the rest is no call of an attachment's. */
const neverFails: ReadonlySet<string> = new Set(['close', 'pollStop', 'sealDescriptors', 'execWithCapabilities']);
/** Whose answer cannot be lost: what it is about would be nobody's. */
const gives: ReadonlySet<string> = new Set([
  'open',
  'openFileIn',
  'openSync',
  'readFileSync',
  'getOption',
  'receiveMany',
]);

const addonPath = fileURLToPath(new URL('../../build/Release/koi_kernel.node', import.meta.url));
const fileCalls = [
  'readFileSync',
  'writeFileSync',
  'openSync',
  'statSync',
  'renameSync',
  'rmSync',
  'mkdirSync',
] as const;
/** Sysctls, namespaces, locks and the record of what was changed. */
const watched = /^\/(proc|run|sys)\/|\/koi-faults-/;

/**
 * Stands between Koi and the kernel, in the two places that its calls pass: the addon, and the files by which the kernel has
 * settings changed and by which Koi writes down what they were. Must be made before anything loads the addon.
 */
export class KernelFaults {
  calls = 0;
  /** The call that failed. */
  failed: string | undefined;
  #fault: Fault | undefined;
  #armed = false;

  constructor() {
    const load = createRequire(import.meta.url);
    const addon = load(addonPath) as Record<string, (...args: unknown[]) => unknown>;
    const wrapped = Object.fromEntries(
      Object.entries(Object.getOwnPropertyDescriptors(addon)).map(([name, { value }]) => [
        name,
        neverFails.has(name) || name.startsWith('pump') ? value : this.#failing(name, value, errnoResult(name)),
      ]),
    );
    const cached = load.cache[addonPath];
    if (cached === undefined) throw new Error('the addon is not in the cache of modules');
    cached.exports = wrapped as unknown as Binding;

    const files = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const name of fileCalls) {
      const real = files[name];
      if (real === undefined) throw new Error(`node:fs has no ${name}`);
      const failing = this.#failing(name, real, thrown(name));
      files[name] = (...args) =>
        typeof args[0] === 'number' || watched.test(String(args[0])) ? failing(...args) : real(...args);
    }
    syncBuiltinESMExports();
  }

  /** Counts from 1 again, and has one call fail. */
  arm(fault?: Fault): void {
    this.calls = 0;
    this.failed = undefined;
    this.#fault = fault;
    this.#armed = true;
  }

  disarm(): void {
    this.#armed = false;
  }

  #failing<T extends (...args: unknown[]) => unknown>(name: string, real: T, fail: (errno: FaultErrno) => unknown) {
    return (...args: unknown[]): unknown => {
      if (!this.#armed) return real(...args);
      this.calls += 1;
      const fault = this.#fault;
      const isHit = this.calls === fault?.call || (fault?.lasts === true && this.calls > fault.call);
      if (fault === undefined || !isHit) return real(...args);
      this.failed ??= `${name}(${args.filter((arg) => typeof arg !== 'object').join(', ')})`;
      if (fault.timing === 'answer lost' && !gives.has(name)) {
        const done = real(...args);
        if (done instanceof Promise) return done.then(() => fail(fault.errno));
      }
      return fail(fault.errno);
    };
  }
}

const errnoResult =
  (name: string) =>
  (errno: FaultErrno): unknown =>
    name === 'requestAsync' ? Promise.resolve(-constants.errno[errno]) : -constants.errno[errno];

const thrown =
  (name: string) =>
  (errno: FaultErrno): never => {
    throw Object.assign(new Error(`${errno}: injected, ${name}`), { code: errno });
  };
