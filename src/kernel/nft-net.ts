import type { MacAddress } from '../wire/mac.js';

/** What the fail-closed net of the attach order knows of an address, whichever its family. */

export interface MacBinding {
  readonly address: string;
  /** The only MAC that may speak for it. */
  readonly mac: MacAddress;
}

/** Frames dropped so far for one address. */
export interface DropCounter {
  readonly address: string;
  readonly droppedPackets: number;
}

/** What a table holds now. */
export interface NetState {
  /** One for each address, in the order in which they were installed. */
  readonly counters: readonly DropCounter[];
  /** All there are, whoever has put them in. */
  readonly rules: number;
}
