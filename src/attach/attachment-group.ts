import type { AddressRemovals, AddressRenewals } from '../kernel/addresses.js';
import type { MacAddress } from '../wire/mac.js';
import type { Announcer } from './announcer.js';
import type { AttachHost, Attachment } from './attachment.js';
import type { Receipt } from './receipt.js';

/** One virtual MAC with the addresses that belong to it. */
export interface AttachedPart {
  readonly attachment: Attachment;
  readonly announcer: Announcer;
  /** The interface it lives on, as it is now. */
  readonly parentIfindex: () => number | undefined;
}

/**
 * All virtual MACs of one virtual router, which come and go together. There is one, save for VRRPv3 with addresses of
 * both families, where each family has its own (RFC 9568 §7.3), and for addresses on other interfaces than the adverts'.
 */
export class AttachmentGroup {
  readonly #parts: readonly AttachedPart[];
  #attempt = 0;

  constructor(parts: readonly AttachedPart[]) {
    this.#parts = parts;
  }

  /** Everything is in place, and was read back. */
  get attached(): boolean {
    return this.#parts.every(({ attachment }) => attachment.token?.valid === true);
  }

  /** Whether a link is one of its own. */
  owns(ifindex: number): boolean {
    return this.#parts.some(({ attachment }) => attachment.linkIfindex === ifindex);
  }

  /** Those that it has now. */
  get links(): readonly number[] {
    return this.#parts.flatMap(({ attachment }) => attachment.linkIfindex ?? []);
  }

  /** To another part of the kernel, with everything; what was in the one before is given up. */
  moveTo(host: AttachHost): void {
    this.#attempt += 1;
    for (const { attachment } of this.#parts) attachment.moveTo(host);
  }

  /** Resolves when every deletion begun so far is over; never rejects. */
  async settled(): Promise<void> {
    await Promise.all(this.#parts.map(({ attachment }) => attachment.settled));
  }

  /** Makes the links, down, wherever there is an interface for them. */
  prepare(): void {
    for (const { attachment, parentIfindex } of this.#parts) {
      const ifindex = parentIfindex();
      if (ifindex !== undefined) attachment.prepare(ifindex);
    }
  }

  /** As {@link Attachment.rehearse}, each of them. */
  rehearse(): void {
    for (const { attachment } of this.#parts) attachment.rehearse();
  }

  /** Those whose interface is gone; or all. */
  forgetLinks(whose: 'orphaned' | 'all' = 'all'): void {
    this.#attempt += 1;
    for (const { attachment, parentIfindex } of this.#parts) {
      if (whose === 'all' || parentIfindex() === undefined) attachment.forgetLink();
    }
  }

  /**
   * Attaches all parts at once, or none: where one fails, the others are taken off again.
   * @returns the receipts of every step
   * @throws KoiError as `Attachment.attach`: the first failure
   */
  async attach(): Promise<readonly Receipt[]> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    const results = await Promise.allSettled(
      this.#parts.map(({ attachment, parentIfindex }) => attachment.attach(parentIfindex() ?? 0)),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) {
      return results.flatMap((result) => (result.status === 'fulfilled' ? result.value.receipts : []));
    }
    // Whoever released meanwhile has taken care of all of them, and may be attaching again.
    if (attempt === this.#attempt) this.#undo(this.#parts.filter((_, index) => results[index]?.status === 'fulfilled'));
    throw failed.reason;
  }

  /** As {@link Attachment.vacate}, each of them. */
  vacate(removals: AddressRemovals): void {
    this.#attempt += 1;
    for (const { attachment } of this.#parts) attachment.vacate(removals);
  }

  /**
   * Takes the addresses of every part off.
   * @throws KoiError the first failure, when all have been tried
   */
  detach(): void {
    this.#attempt += 1;
    this.#each((attachment) => attachment.detach());
  }

  #each(act: (attachment: Attachment) => void): void {
    let failure: unknown;
    for (const { attachment } of this.#parts) {
      try {
        act(attachment);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** Those that failed have undone themselves. */
  #undo(parts: readonly AttachedPart[]): void {
    for (const { attachment } of parts) {
      try {
        attachment.detach();
      } catch {
        // The failure of the others is the error to tell; the next `detach` tries again.
        continue;
      }
      void attachment.remake().catch(() => undefined);
    }
  }

  /** As {@link Attachment.remake}, each of them. */
  async remake(isPatient = false): Promise<void> {
    await Promise.all(this.#parts.map(({ attachment }) => attachment.remake(isPatient)));
  }

  /**
   * As {@link Attachment.hush}, each of them.
   * @throws KoiError the first failure, when all have been tried
   */
  hush(hushed: boolean): void {
    this.#each((attachment) => attachment.hush(hushed));
  }

  /** @returns those that the kernel no longer has */
  renew(renewals: AddressRenewals): readonly string[] {
    const [only, ...others] = this.#parts;
    if (only !== undefined && others.length === 0) return only.attachment.renew(renewals);
    return this.#parts.flatMap(({ attachment }) => attachment.renew(renewals));
  }

  /**
   * Other addresses, each with the virtual MAC of its family, without leaving the state.
   * @throws KoiError the first failure; then all addresses are those of before
   */
  async changeAddresses(addressesOf: (virtualMac: MacAddress) => readonly string[]): Promise<void> {
    const before = this.#parts.map(({ attachment }) => attachment.spec.addresses);
    try {
      for (const { attachment } of this.#parts) {
        await attachment.changeAddresses(addressesOf(attachment.spec.virtualMac));
      }
    } catch (error) {
      for (const [index, { attachment }] of this.#parts.entries()) {
        await attachment.changeAddresses(before[index] ?? []).catch(() => undefined);
      }
      throw error;
    }
    for (const { attachment, announcer } of this.#parts) announcer.setAddresses(attachment.spec.addresses);
  }

  /** Tells the guard again, with what it shall send now. */
  async registerAgain(): Promise<void> {
    await Promise.all(this.#parts.map(({ attachment }) => attachment.registerAgain()));
  }

  async destroy(): Promise<void> {
    await Promise.all(this.#parts.map(({ attachment }) => attachment.destroy()));
  }

  /** Announces every address once, with the proof that each part is attached. */
  announce(): void {
    for (const { attachment, announcer } of this.#parts) {
      const { token } = attachment;
      if (token === undefined) announcer.refuse();
      else announcer.announce(token);
    }
  }

  /** Shows the switches where each virtual MAC is. */
  refreshMacs(): void {
    for (const { attachment, announcer } of this.#parts) announcer.refresh(attachment.token);
  }
}
