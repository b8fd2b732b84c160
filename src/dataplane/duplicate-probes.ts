import type { DemuxedFrame } from '../wire/demux.js';
import { zeroMac } from '../wire/mac.js';
import type { ParentPort } from './parent-port.js';
import { DuplicateProbe, type DuplicateProbeOptions } from './protocol-duplicates.js';

export interface DuplicateProbesOptions extends Pick<DuplicateProbeOptions, 'vr' | 'virtualMacs' | 'onLate'> {
  /** Of adverts and of addresses. */
  readonly ports: Iterable<ParentPort>;
  /** The addresses were in use a moment ago: nobody waits for answers. */
  readonly knowsMaster: () => boolean;
}

/** Whether other hosts have one virtual router's addresses, on each of its interfaces. */
export class DuplicateProbes {
  readonly #options: DuplicateProbesOptions;
  readonly #probes: ReadonlyMap<ParentPort, DuplicateProbe>;

  constructor(options: DuplicateProbesOptions) {
    this.#options = options;
    this.#probes = new Map([...options.ports].map((port) => [port, this.#on(port)]));
  }

  #on(port: ParentPort): DuplicateProbe {
    const { vr, virtualMacs, onLate } = this.#options;
    return new DuplicateProbe({
      vr,
      virtualMacs,
      onLate,
      send: (frames) => port.send(frames),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
  }

  /** As {@link DuplicateProbe.check}. */
  async check(addresses: readonly string[], port: ParentPort): Promise<string> {
    const waits = !this.#options.knowsMaster();
    return this.#probes.get(port)?.check(addresses, port.state.mac ?? zeroMac, waits) ?? 'not asked';
  }

  /** Every neighbour advertisement that came in there. */
  heard(port: ParentPort, frame: DemuxedFrame): void {
    this.#probes.get(port)?.heard(frame);
  }
}
