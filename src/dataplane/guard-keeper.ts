import type { Logger } from 'pino';
import { KoiError } from '../koi-error.js';
import { rehearsals } from '../rehearsals.js';
import { addressBytes, familyOf } from '../wire/address.js';
import { type GuardAddress, type GuardAdvert, type GuardLink, type GuardReport, startGuard } from './guard-link.js';

const restartDelaysMs: readonly number[] = [50, 200, 1000, 5000];
/** A guard that lived for so long has got over what made it fail before. */
const settledAfterMs = 30_000;
const rehearsal = 'rehearsal';

interface Registration {
  readonly addresses: readonly GuardAddress[];
  readonly adverts: readonly GuardAdvert[];
  readonly namespace: string | undefined;
  /** Its addresses end with this node's lease. */
  readonly leased: boolean;
}

export interface GuardKeeperOptions {
  /** Path of koi-guard; default: where the build puts it. */
  readonly binary?: string;
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
  #leaseEndsAtNs: bigint | undefined;

  constructor(options: GuardKeeperOptions) {
    this.#options = options;
  }

  /** @throws KoiError where no guard can run here: without one nothing is attached. */
  async start(): Promise<void> {
    const { binary, group, timeoutMs, onReport } = this.#options;
    const which = binary === undefined ? {} : { binary };
    this.#link = await startGuard({ ...which, group, timeoutMs, onReport, onExit: (exit) => this.#gone(exit.message) });
    this.#startedMs = performance.now();
    for (const [vr, registration] of this.#registered) {
      this.#register(this.#link, vr, registration).catch((error: unknown) => {
        this.#options.log.error({ vr, err: error }, 'the new guard does not know this virtual router');
      });
    }
  }

  /** Registers nothing and takes it back, so that the first takeover finds that code compiled. */
  async rehearse(): Promise<void> {
    const link = this.#link;
    if (link === undefined) return;
    for (let round = 0; round < rehearsals; round++) {
      await link.put(rehearsal, [], []);
      await link.drop(rehearsal);
    }
  }

  /** Of the guard that runs now. */
  get pid(): number | undefined {
    return this.#link?.pid;
  }

  get up(): boolean {
    return this.#link?.alive === true;
  }

  /** Resolves when the guard knows what to take off, and when, of what is `leased`: only then may an address be added. */
  put(
    vr: string,
    linkIfindex: number,
    addresses: readonly string[],
    adverts: readonly GuardAdvert[],
    more: { readonly namespace?: string | undefined; readonly leased: boolean },
  ): Promise<void> {
    const guarded = addresses.map((address) => guardAddress(linkIfindex, address));
    const { namespace, leased } = more;
    if (leased && !this.#hasLease) return Promise.reject(withoutLease(vr));
    const registration = { addresses: guarded, adverts, namespace, leased };
    const wasLeased = this.#registered.get(vr)?.leased === true;
    this.#registered.set(vr, registration);
    if (this.#link === undefined || !this.#link.alive) {
      return Promise.reject(new KoiError('attach', `${vr}: no guard is running, so nothing may be attached`));
    }
    return this.#register(this.#link, vr, registration, wasLeased).then(() => {
      if (leased && !this.#hasLease) throw withoutLease(vr);
    });
  }

  /** A lease that has ended meanwhile is told as well: then the guard comes at once. */
  async #register(link: GuardLink, vr: string, registration: Registration, wasLeased = false): Promise<void> {
    const { addresses, adverts, namespace, leased } = registration;
    const put = link.put(vr, addresses, adverts, namespace);
    if (!leased && !wasLeased) return put;
    // Both at once: the guard obeys in order, and the second fails where the first does.
    await Promise.all([put, link.setDeadline(vr, leased ? this.#leaseEndsAtNs : undefined)]);
  }

  get #hasLease(): boolean {
    return this.#leaseEndsAtNs !== undefined && process.hrtime.bigint() < this.#leaseEndsAtNs;
  }

  /** The end of this node's lease, on the clock of `process.hrtime.bigint()`: by then what is leased is off. */
  leaseEndsAt(monotonicNs: bigint): void {
    this.#leaseEndsAtNs = monotonicNs;
    for (const [vr, { leased }] of this.#registered) {
      // Refused where the guard has come already: then it reports so, and what is put back is registered anew.
      if (leased) this.#link?.setDeadline(vr, monotonicNs).catch(() => undefined);
    }
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

const withoutLease = (vr: string): KoiError =>
  new KoiError('attach', `${vr}: this node has no lease in the log, so nothing may be attached (strict)`);

function guardAddress(ifindex: number, address: string): GuardAddress {
  const family = familyOf(address);
  return { ifindex, family, prefixLength: family === 4 ? 32 : 128, bytes: addressBytes(address) };
}
