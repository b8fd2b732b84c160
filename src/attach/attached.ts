import type { Receipt } from './receipt.js';

const made = Symbol('attached');

/**
 * The proof that the virtual MAC and the addresses of one virtual router are in place and were read back. Only a
 * finished attach can make one (`grantAttached` is not exported from the folder's other files' callers), and whoever
 * announces must show it: announcing unattached is a type error. A release revokes it, after which showing it is refused
 * at run time and counted.
 */
export class Attached {
  readonly vr: string;
  readonly receipts: readonly Receipt[];
  #valid = true;

  /** Not callable without the symbol, which never leaves this file. */
  constructor(key: typeof made, vr: string, receipts: readonly Receipt[]) {
    if (key !== made) throw new TypeError('only a finished attach makes this token');
    this.vr = vr;
    this.receipts = receipts;
  }

  get valid(): boolean {
    return this.#valid;
  }

  revoke(): void {
    this.#valid = false;
  }
}

/** For `Attachment` alone, at the end of its last step. */
export const grantAttached = (vr: string, receipts: readonly Receipt[]): Attached => new Attached(made, vr, receipts);
