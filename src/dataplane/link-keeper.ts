import type { Logger } from 'pino';
import type { AttachmentGroup } from '../attach/attachment-group.js';
import type { Receipt } from '../attach/receipt.js';
import { failpoints } from '../failpoint.js';
import type { AddressRemovals } from '../kernel/addresses.js';
import { KoiError } from '../koi-error.js';
import type { MacAddress } from '../wire/mac.js';
import type { GuardKeeper } from './guard-keeper.js';
import type { Hush } from './hush.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterNews } from './router-news.js';
import type { RouterPlaces } from './router-places.js';
import type { Scheduler } from './scheduler.js';
import type { Turns } from './turns.js';

const withdrawAgainMs = 10;
/** How often it is tried to make a link: on an interface that another program works on, and after any other failure. */
const prepareAgainMs = { busy: 100, failed: 1000 };

/** Hears what became of the links. */
export interface LinkOwner {
  /** Everything is in place, and was read back. */
  attached(receipts: readonly Receipt[]): void;
  /** The addresses are off, read back; {@link released} follows at the end of what happens now. */
  addressesOff(): void;
  /** `attachFailed`: they never were all on. */
  released(how: 'detached' | 'attachFailed'): void;
  /** What somebody else took away is in place again, or could not be. */
  putBack(isDone: boolean): void;
}

export interface LinkKeeperOptions {
  readonly vr: string;
  readonly attachment: Pick<
    AttachmentGroup,
    'attached' | 'prepare' | 'forgetLinks' | 'attach' | 'detach' | 'vacate' | 'changeAddresses' | 'remake' | 'destroy'
  >;
  readonly addresses: readonly string[];
  readonly hush: Pick<Hush, 'ended' | 'renew'>;
  readonly machine: Pick<RouterMachine, 'phase' | 'holdsAddresses' | 'isStopped'>;
  readonly places: Pick<RouterPlaces, 'guardNames' | 'fault' | 'isOrphaned'>;
  readonly guard: Pick<GuardKeeper, 'drop'>;
  readonly news: Pick<RouterNews, 'tellState'>;
  readonly turns: Pick<Turns, 'take'>;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly now: () => number;
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly owner: LinkOwner;
}

/**
 * The virtual-MAC links of one virtual router: made beforehand and down, attached with their addresses, withdrawn, and made
 * anew afterwards.
 */
export class LinkKeeper {
  readonly #options: LinkKeeperOptions;
  /** Changes with each attach and release: an attach that ends later than that is nobody's any more. */
  #attempt = 0;
  /** Attaching, putting back and making anew that are under way, of which one may begin before another has ended. */
  #works = 0;
  /** From the order to take the addresses off until the link is being made anew. */
  #withdrawing = false;
  #problems: readonly string[] = [];
  #addresses: readonly string[];

  constructor(options: LinkKeeperOptions) {
    this.#options = options;
    this.#addresses = options.addresses;
  }

  /** Changes of its own making are under way: nothing is taken for somebody else's. */
  get isWorking(): boolean {
    return this.#withdrawing || this.#works > 0;
  }

  /** What keeps it from attaching, for people. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Another host answers for one of the addresses, which are attached by now. */
  duplicate(address: string, mac: MacAddress): void {
    const { vr, log, news } = this.#options;
    const message = `${mac} answers for ${address} with a MAC that is not this virtual router's; remove it there`;
    if (this.#problems.includes(message)) return;
    this.#problems = [...this.#problems, message];
    log.error({ vr, address, mac }, message);
    news.tellState();
  }

  /** Nothing else is wrong, or it would not have come so far. */
  setProblem(message: string): void {
    this.#problems = [message];
  }

  /** Those that are on the links, or will be when they are attached. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** As {@link AttachmentGroup.changeAddresses}; `addresses` is all of them. */
  async changeAddresses(
    addresses: readonly string[],
    addressesOf: (virtualMac: MacAddress) => readonly string[],
  ): Promise<void> {
    await this.#options.attachment.changeAddresses(addressesOf);
    this.#addresses = addresses;
  }

  /** Runs a change of what is attached, which is nobody else's doing. */
  async working<T>(change: () => Promise<T>): Promise<T> {
    this.#works += 1;
    try {
      return await change();
    } finally {
      this.#works -= 1;
    }
  }

  // ── beforehand ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An interface, or the namespace of the addresses, is another, or can or cannot be used. */
  placesChanged(): void {
    const { attachment, places } = this.#options;
    if (places.isOrphaned) attachment.forgetLinks('orphaned');
    if (places.fault === undefined) this.#prepare();
  }

  #prepare(): void {
    const { attachment, news } = this.#options;
    try {
      attachment.prepare();
      const wasUnable = this.#problems.length > 0;
      this.#problems = [];
      // Otherwise a node that failed once would be taken for one that cannot serve until its next transition.
      if (wasUnable) news.tellState();
    } catch (error) {
      this.#notPrepared(error, 'the virtual-MAC link could not be prepared');
    }
  }

  /** It is tried again, soon where another program works on the interface; an attach would make the link as well. */
  #notPrepared(error: unknown, what: string): void {
    const { vr, scheduler, now, log } = this.#options;
    const message = messageOf(error);
    const isNews = !this.#problems.includes(message);
    this.setProblem(message);
    const isBusy = error instanceof KoiError && error.code === 'timeout';
    if (isNews) log[isBusy ? 'info' : 'error']({ vr, err: error }, what);
    const againMs = isBusy ? prepareAgainMs.busy : prepareAgainMs.failed;
    scheduler.set(`prepare ${vr}`, now() + againMs, () => this.#prepareAgain());
  }

  #prepareAgain(): void {
    const { machine, places } = this.#options;
    const isIdle = !machine.isStopped && !this.isWorking && !machine.holdsAddresses;
    if (places.fault === undefined && isIdle) this.#prepare();
  }

  /** Whoever has stopped needs no link any more. */
  remake(): void {
    const { attachment, machine, places } = this.#options;
    this.#works += 1;
    // Whoever may be the next to take over wants its link soon.
    const isPatient = machine.phase === 'fault';
    const done = machine.isStopped ? attachment.destroy() : attachment.remake(isPatient);
    done
      .then(() => {
        if (places.fault === undefined && !machine.isStopped) this.#prepare();
      })
      .catch((error: unknown) => this.#notPrepared(error, 'the virtual-MAC link could not be made anew'))
      .finally(() => {
        this.#works -= 1;
      });
  }

  // ── taking the addresses, and letting go ──────────────────────────────────────────────────────────────────────────

  async attach(): Promise<void> {
    const { vr, attachment, turns, log, owner } = this.#options;
    this.#works += 1;
    this.#attempt += 1;
    const attempt = this.#attempt;
    let receipts: readonly Receipt[] = [];
    try {
      await turns.take();
      if (attempt !== this.#attempt) return;
      receipts = await attachment.attach();
      if (attempt !== this.#attempt) return;
      if (failpoints !== undefined) await failpoints.reached('claim.attached');
      if (attempt !== this.#attempt) return;
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.setProblem(messageOf(error));
      log.error({ vr, err: error }, 'attach failed; the steps before are undone');
      this.withdraw('attachFailed');
      return;
    } finally {
      this.#works -= 1;
    }
    this.#problems = [];
    owner.attached(receipts);
  }

  /** The addresses go off; the owner is told once it has been read back that they are, and not before. */
  withdraw(how: 'detached' | 'attachFailed'): void {
    const { vr, attachment, places, guard, hush, log, now, scheduler, owner } = this.#options;
    this.#attempt += 1;
    this.#withdrawing = true;
    try {
      attachment.detach();
      failpoints?.passed('release.addresses_off');
      for (const name of places.guardNames) guard.drop(name);
      failpoints?.passed('release.guard_told');
    } catch (error) {
      // Whatever holds them, the guard's deadline and the addresses' lifetime end them; nobody renews them any more.
      log.error({ vr, err: error }, 'the addresses could not be taken off; trying again');
      scheduler.set(`detach ${vr}`, now() + withdrawAgainMs, () => this.withdraw(how));
      return;
    }
    hush.ended();
    owner.addressesOff();
    queueMicrotask(() => {
      try {
        owner.released(how);
        this.remake();
      } finally {
        this.#withdrawing = false;
      }
    });
  }

  /** Its interface is lost: its addresses go together with those of others, before it is told, which is in the same turn. */
  vacate(removals: AddressRemovals): void {
    const { attachment, machine } = this.#options;
    if (!machine.holdsAddresses) return;
    attachment.vacate(removals);
    queueMicrotask(() => {
      // It has not been told: the interface had come back by then.
      if (machine.holdsAddresses && !this.isWorking && !attachment.attached) void this.putBack();
    });
  }

  /** What is to be there is made anew, under the addresses that it holds. Never rejects. */
  async putBack(): Promise<void> {
    const { vr, attachment, hush, log, owner } = this.#options;
    this.#works += 1;
    try {
      attachment.detach();
      await attachment.remake();
      await attachment.attach();
      hush.renew();
      owner.putBack(true);
    } catch (error) {
      log.error({ vr, err: error }, 'putting it back failed');
      owner.putBack(false);
    } finally {
      this.#works -= 1;
    }
  }

  /** Takes the links away for good, at the end. */
  destroy(): Promise<void> {
    const { vr, scheduler, attachment } = this.#options;
    for (const what of ['detach', 'prepare']) scheduler.set(`${what} ${vr}`, undefined, () => undefined);
    return attachment.destroy();
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
