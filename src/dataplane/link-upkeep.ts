import type { Logger } from 'pino';
import { addressLifetimeSeconds } from '../attach/attachment.js';
import type { AttachmentGroup } from '../attach/attachment-group.js';
import { addressLifetimeSeconds as leasedLifetimeSeconds } from '../core/lease.js';
import type { Input } from '../core/vr-state.js';
import type { AddressRenewals } from '../kernel/addresses.js';
import type { KernelEvent } from '../kernel/monitor.js';
import type { MacAddress } from '../wire/mac.js';
import type { Detection } from './detection.js';
import { type ForeignChange, ForeignChanges } from './foreign-changes.js';
import type { LinkKeeper } from './link-keeper.js';
import type { ParentPort } from './parent-port.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterNews } from './router-news.js';
import type { RouterPlaces } from './router-places.js';
import { isLeased, type RunningConfiguration } from './running-configuration.js';

export interface LinkUpkeepOptions {
  readonly vr: string;
  readonly running: Pick<RunningConfiguration, 'config'>;
  readonly machine: Pick<RouterMachine, 'vr' | 'holdsAddresses'>;
  readonly places: Pick<RouterPlaces, 'fault'>;
  readonly parent: Pick<ParentPort, 'state'>;
  readonly virtualMacs: ReadonlySet<MacAddress>;
  readonly attachment: Pick<AttachmentGroup, 'attached' | 'owns' | 'renew' | 'forgetLinks'>;
  readonly links: Pick<LinkKeeper, 'isWorking' | 'addresses' | 'remake' | 'putBack'>;
  readonly detection: Pick<Detection, 'foreignChange'>;
  readonly counters: Pick<RouterCounters, 'repairs'>;
  readonly news: Pick<RouterNews, 'keep'>;
  readonly now: () => number;
  readonly log: Logger;
  readonly give: (input: Input) => void;
}

/** What is in the kernel stays there: addresses are renewed before the kernel forgets them, and what others change is put back. */
export class LinkUpkeep {
  readonly #options: LinkUpkeepOptions;
  readonly #foreign: ForeignChanges;

  constructor(options: LinkUpkeepOptions) {
    this.#options = options;
    this.#foreign = new ForeignChanges(options.attachment, options.virtualMacs);
  }

  /** For how long the kernel keeps an address by itself: what is leased is gone with the lease, whoever is left to see to it. */
  get lifetimeSeconds(): number {
    const { running, machine, now } = this.#options;
    if (!isLeased(running.config)) return addressLifetimeSeconds;
    const { leaseEndsAtMs = Number.NEGATIVE_INFINITY } = machine.vr;
    return Math.min(addressLifetimeSeconds, leasedLifetimeSeconds(leaseEndsAtMs, now()));
  }

  /** Whether there are addresses that the kernel is to keep: it forgets those that are not renewed. */
  mayRenew(): boolean {
    return !this.#options.links.isWorking && this.#holdsStill();
  }

  /** @returns the addresses that the kernel no longer has, for {@link addressesGone} */
  renew(renewals: AddressRenewals): readonly string[] {
    const { links, attachment } = this.#options;
    return links.isWorking ? [] : attachment.renew(renewals);
  }

  addressesGone(addresses: readonly string[]): void {
    for (const address of addresses) this.#addressGone(address);
  }

  /** Past the end of its lease nobody puts an address back: the guard took it off, and it is right. */
  #holdsStill(): boolean {
    const { running, machine, now, give } = this.#options;
    if (!isLeased(running.config)) return true;
    give({ type: 'tick', atMs: now() });
    return machine.holdsAddresses;
  }

  /** One of its own links, or an address on it, is another. */
  kernelChanged(event: KernelEvent): void {
    if (this.#options.links.isWorking) return;
    const change = this.#foreign.judge(event);
    switch (change?.kind) {
      case 'link_deleted':
        this.#linkGone();
        return;
      case 'link_changed':
        this.#disturbed(change.kind, change.object);
        return;
      case 'address_deleted':
        this.#addressGone(change.object);
        return;
      case 'address_changed':
        // It serves as before; the next renewal, within half a second, says again whose it is.
        this.#tell(change.kind, change.object);
        return;
      default:
        return;
    }
  }

  /** The kernel deletes the link together with its parent; otherwise somebody did. */
  #linkGone(): void {
    const { vr, attachment, places } = this.#options;
    attachment.forgetLinks();
    if (places.fault === undefined) this.#disturbed('link_deleted', vr);
  }

  #addressGone(address: string): void {
    const { attachment, links, now, give } = this.#options;
    const isOurs = attachment.attached && links.addresses.includes(address);
    if (!isOurs || !this.#holdsStill()) return;
    // The kernel has taken it off ahead of the lease, whose end is too near to put it back.
    if (this.lifetimeSeconds < 1) give({ type: 'ownLease', endsAtMs: undefined, atMs: now() });
    else this.#disturbed('address_deleted', address);
  }

  /** Somebody else changed what is ours: put it back, and say so; too often, and it is left to them. */
  #disturbed(kind: ForeignChange['kind'], object: string): void {
    const { machine, links, now, give } = this.#options;
    const nowMs = now();
    this.#tell(kind, object);
    if (!machine.holdsAddresses) links.remake();
    else if (this.#foreign.mayRepair(nowMs)) void links.putBack();
    else give({ type: 'interference', atMs: nowMs });
  }

  #tell(kind: ForeignChange['kind'], object: string): void {
    const { vr, detection, counters, news, log, parent } = this.#options;
    counters.repairs.add(kind);
    detection.foreignChange(vr, kind, object, parent.state);
    news.keep({ type: 'repaired', vr, kind, object });
    log.warn({ vr, kind, object }, 'another program changed what koi has put into the kernel; putting it back');
  }
}
