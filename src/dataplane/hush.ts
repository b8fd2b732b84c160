import type { AttachmentGroup } from '../attach/attachment-group.js';
import { type MacAddress, writeMac } from '../wire/mac.js';

const sourceOffset = 6;

export interface HushOptions {
  readonly attachment: Pick<AttachmentGroup, 'hush'>;
  /** The parent's own MAC; undefined while there is no parent. */
  readonly ownMac: () => MacAddress | undefined;
  readonly onFailed: (error: unknown) => void;
}

/**
 * An old master that lingers in a handover serves what is sent to it, and shows the virtual MAC to nobody: a single frame
 * from it would have the switches send the clients' packets here again, where nobody serves them a moment later. Its
 * adverts go on, since third nodes count their silence, from the parent's own MAC.
 */
export class Hush {
  readonly #options: HushOptions;
  #hushed = false;

  constructor(options: HushOptions) {
    this.#options = options;
  }

  /** Where the kernel refuses, the adverts are hushed all the same: that is the better part of it. */
  set(hushed: boolean): void {
    this.#hushed = hushed;
    try {
      this.#options.attachment.hush(hushed);
    } catch (error) {
      this.#options.onFailed(error);
    }
  }

  /** The addresses are off, and the link goes. */
  ended(): void {
    this.#hushed = false;
  }

  /** The link is another one: as silent as the one before. */
  renew(): void {
    if (this.#hushed) this.set(true);
  }

  /** Adverts as they may leave now. */
  adverts(frames: readonly Uint8Array[]): readonly Uint8Array[] {
    const mac = this.#hushed ? this.#options.ownMac() : undefined;
    if (mac === undefined) return this.#hushed ? [] : frames;
    return frames.map((frame) => {
      const own = frame.slice();
      writeMac(own, sourceOffset, mac);
      return own;
    });
  }
}
