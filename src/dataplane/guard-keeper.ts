import type { Logger } from 'pino';
import { KoiError } from '../koi-error.js';
import { addressBytes, familyOf } from '../wire/address.js';
import { type GuardAddress, type GuardAdvert, type GuardLink, type GuardReport, startGuard } from './guard-link.js';

const restartDelaysMs: readonly number[] = [50, 200, 1000, 5000];
/** A guard that lived for so long has got over what made it fail before. */
const settledAfterMs = 30_000;

interface Registration {
  readonly addresses: readonly GuardAddress[];
  readonly adverts: readonly GuardAdvert[];
  readonly namespace: string | undefined;
}

export interface GuardKeeperOptions {
  readonly group: number;
  readonly timeoutMs: number;
  readonly log: Logger;
  readonly onReport: (report: GuardReport) => void;
}

/** Keeps a guard running: one that dies is replaced, and told everything again. */
export class GuardKeeper {
  readonly #options: GuardKeeperOptions;
  readonly #registered = new Map<string, Registration>();
  #link: GuardLink | undefined;
  #failures = 0;
  #startedMs = 0;
  #restart: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: GuardKeeperOptions) {
    this.#options = options;
  }

  /** @throws KoiError where no guard can run here: without one nothing is attached. */
  async start(): Promise<void> {
    const { group, timeoutMs, onReport } = this.#options;
    this.#link = await startGuard({ group, timeoutMs, onReport, onExit: (exit) => this.#gone(exit.message) });
    this.#startedMs = performance.now();
    for (const [vr, { addresses, adverts, namespace }] of this.#registered) {
      this.#link.put(vr, addresses, adverts, namespace).catch((error: unknown) => {
        this.#options.log.error({ vr, err: error }, 'the new guard does not know this virtual router');
      });
    }
  }

  get up(): boolean {
    return this.#link?.alive === true;
  }

  /** Resolves when the guard knows what to take off: only then may an address be added. */
  put(
    vr: string,
    linkIfindex: number,
    addresses: readonly string[],
    adverts: readonly GuardAdvert[],
    namespace?: string,
  ): Promise<void> {
    const guarded = addresses.map((address) => guardAddress(linkIfindex, address));
    const registration = { addresses: guarded, adverts, namespace };
    this.#registered.set(vr, registration);
    if (this.#link === undefined || !this.#link.alive) {
      return Promise.reject(new KoiError('attach', `${vr}: no guard is running, so nothing may be attached`));
    }
    return this.#link.put(vr, registration.addresses, registration.adverts, namespace);
  }

  /** To be called after the addresses are off. */
  drop(vr: string): void {
    if (!this.#registered.delete(vr)) return;
    // A guard that does not answer is replaced by the link itself, and the new one never hears of this.
    this.#link?.drop(vr).catch(() => undefined);
  }

  heartbeat(): void {
    this.#link?.heartbeat();
  }

  /** Sends the guard away; it touches nothing. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    await this.#link?.bye();
  }

  #gone(message: string): void {
    this.#link = undefined;
    if (this.#stopped) return;
    if (performance.now() - this.#startedMs > settledAfterMs) this.#failures = 0;
    this.#options.log.error({ reason: message }, 'the guard is gone; starting another');
    this.#startAgain();
  }

  #startAgain(): void {
    const delayMs = restartDelaysMs[Math.min(this.#failures, restartDelaysMs.length - 1)] ?? 0;
    this.#failures += 1;
    this.#restart = setTimeout(() => {
      this.start().catch((error: unknown) => {
        this.#options.log.error({ err: error }, 'no guard could be started');
        if (!this.#stopped) this.#startAgain();
      });
    }, delayMs);
  }
}

function guardAddress(ifindex: number, address: string): GuardAddress {
  const family = familyOf(address);
  return { ifindex, family, prefixLength: family === 4 ? 32 : 128, bytes: addressBytes(address) };
}
