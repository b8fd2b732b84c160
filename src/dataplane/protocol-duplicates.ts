import { KoiError } from '../koi-error.js';
import type { DemuxedFrame } from '../wire/demux.js';
import type { MacAddress } from '../wire/mac.js';
import { neighborSolicitation } from '../wire/ndp.js';

/** A host on the link answers within a few milliseconds; the second a kernel waits would be ten missed adverts. */
const answerMs = 100;

export interface DuplicateProbeOptions {
  readonly vr: string;
  /** Those that may have the addresses: of this virtual router, here or on another node. */
  readonly virtualMacs: ReadonlySet<MacAddress>;
  readonly send: (frames: readonly Uint8Array[]) => number;
  readonly pause: (ms: number) => Promise<void>;
  /** Another host answers for one of the addresses, when nobody waits for it any more. */
  readonly onLate: (address: string, mac: MacAddress) => void;
}

/**
 * Our own duplicate address detection for virtual IPv6 addresses. The kernel's cannot be used: beside a master that has
 * just been lost, and has the same virtual MAC, it sees no duplicate or kills the address (RFC 4862 §5.4 knows of no
 * address that moves). The probe is the RFC's, from `::`; whoever answers with a MAC that is not a virtual one of this
 * virtual router has the address wrongly.
 *
 * Who takes over from a known master does not wait for answers: the address was in use a moment ago, by the right MAC.
 */
export class DuplicateProbe {
  readonly #options: DuplicateProbeOptions;
  readonly #asked = new Set<string>();
  readonly #others = new Map<string, MacAddress>();
  #waiting = false;

  constructor(options: DuplicateProbeOptions) {
    this.#options = options;
  }

  /**
   * Asks for the addresses.
   * @param waits until answers would have come; otherwise they are told to `onLate`
   * @returns the evidence
   * @throws KoiError `attach` where another host has one
   */
  async check(addresses: readonly string[], senderMac: MacAddress, waits: boolean): Promise<string> {
    this.#others.clear();
    for (const address of addresses) this.#asked.add(address);
    const sent = this.#options.send(
      addresses.map((targetAddress) => neighborSolicitation({ senderMac, senderAddress: '::', targetAddress })),
    );
    if (!waits) return `${sent} probes sent; the address moves from a known master, so nobody waits for answers`;
    this.#waiting = true;
    try {
      await this.#options.pause(answerMs);
    } finally {
      this.#waiting = false;
    }
    for (const [address, mac] of this.#others) {
      throw new KoiError('attach', `${mac} answers for ${address}, which is not this virtual router's MAC`, {
        remedy: `remove ${address} from that host, or choose another address`,
      });
    }
    return `nobody else answered ${sent} probes within ${answerMs} ms`;
  }

  /** Every neighbour advertisement from the wire. */
  heard(frame: DemuxedFrame): void {
    if (frame.kind !== 'ndp' || frame.message.type !== 'advertisement' || !this.#asked.has(frame.message.target))
      return;
    const mac = frame.message.linkLayerAddress ?? frame.etherSource;
    if (this.#options.virtualMacs.has(mac)) return;
    if (this.#waiting) this.#others.set(frame.message.target, mac);
    else this.#options.onLate(frame.message.target, mac);
  }
}
