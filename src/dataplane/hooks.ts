import type { Logger } from 'pino';
import type { HooksConfig } from '../config/config.js';
import { KoiError } from '../koi-error.js';
import type { CommandOrder } from './track/command.js';
import type { Ran } from './track/runner-link.js';
import { explainOutcome } from './track/runner-protocol.js';

export type HookName = 'preAttach' | 'postMaster' | 'preRelease' | 'postRelease';

/** What a hook is told in its environment. */
export interface HookContext {
  readonly state: string;
  readonly reason: string;
  readonly term: number;
}

export interface HooksOptions {
  readonly vr: string;
  readonly node: string;
  readonly config: HooksConfig | undefined;
  readonly run: (order: CommandOrder) => Promise<Ran>;
  readonly log: Logger;
  /** How the virtual router is when a hook is started. */
  readonly context: () => HookContext;
}

/** Hooks that wait for the one before them; beyond that the newest is left out. */
const waitingMax = 8;
/** The runner ends a late hook itself, and its word says more. */
const lateGraceMs = 50;

/**
 * The commands around a change of mastership, one at a time and in order for each virtual router. They run by argv,
 * without a shell, and are told KOI_VR, KOI_NODE, KOI_HOOK, KOI_STATE, KOI_REASON and KOI_TERM.
 *
 * `preAttach` holds the takeover up until it ends or its time is over; what its failure means is `onFailure`.
 * `preRelease` is waited for only where the release is planned, and then while this node still serves. Nothing waits for
 * `postMaster` and `postRelease`, and nothing ever waits for a hook when addresses have to go at once.
 */
export class Hooks {
  readonly #options: HooksOptions;
  #config: HooksConfig | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: HooksOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** Other commands from now on; what runs already ends as it was. */
  configure(config: HooksConfig | undefined): void {
    this.#config = config;
  }

  has(name: HookName): boolean {
    return this.#config?.[name] !== undefined;
  }

  /** @throws KoiError `attach` where it failed and `onFailure` is `abort`. */
  async preAttach(): Promise<void> {
    const fault = await this.#inTime(this.#run('preAttach', this.#options.context()));
    if (fault === undefined || this.#config?.onFailure !== 'abort') return;
    throw new KoiError('attach', `${this.#options.vr}: the hook preAttach failed: ${fault}`, {
      remedy: 'see its output above; with hooks.onFailure: continue a failure holds nothing up',
    });
  }

  /** What will be the reason is known before. Resolves when it has ended, at the latest when its time is over. */
  async preRelease(reason: string): Promise<void> {
    await this.#inTime(this.#run('preRelease', { ...this.#options.context(), reason }));
  }

  /** Starts it, and waits for nothing. */
  start(name: Exclude<HookName, 'preAttach'>): void {
    void this.#run(name, this.#options.context());
  }

  /** Resolves when no hook runs any more. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /** The time counts from the asking, whatever hooks run before. */
  async #inTime(running: Promise<string | undefined>): Promise<string | undefined> {
    const timeoutMs = this.#config?.timeoutMs;
    if (timeoutMs === undefined) return running;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`it had not ended after ${timeoutMs} ms`), timeoutMs + lateGraceMs);
    });
    return Promise.race([running, late]).finally(() => clearTimeout(timer));
  }

  /** Undefined for a success, and where there is no such hook; otherwise what was wrong. Never rejects. */
  async #run(name: HookName, context: HookContext): Promise<string | undefined> {
    const { vr, node, run, log } = this.#options;
    const config = this.#config;
    const command = config?.[name];
    if (config === undefined || command === undefined) return undefined;
    if (this.#waiting >= waitingMax) {
      log.error({ vr, hook: name }, `${waitingMax} hooks wait for the one that runs; this one is left out`);
      return 'too many hooks wait';
    }
    const { timeoutMs, user } = config;
    const environment = {
      KOI_VR: vr,
      KOI_NODE: node,
      KOI_HOOK: name,
      KOI_STATE: context.state,
      KOI_REASON: context.reason,
      KOI_TERM: String(context.term),
    };
    this.#waiting += 1;
    const running = this.#last.then(() => run({ command, user, timeoutMs, environment }));
    this.#last = running;
    const { outcome, output, durationMs } = await running;
    this.#waiting -= 1;
    const fault = explainOutcome(outcome);
    const report = { vr, hook: name, durationMs: Math.round(durationMs), ...(output === '' ? {} : { output }) };
    if (fault === undefined) log.info(report, `${vr}: the hook ${name} ended well`);
    else log.error({ ...report, fault }, `${vr}: the hook ${name} failed: ${fault}`);
    return fault;
  }
}
