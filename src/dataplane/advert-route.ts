import { type AddressFamily, familyOf } from '../wire/address.js';
import type { NoticeRoute } from './notice-exchange.js';
import type { ParentPort } from './parent-port.js';
import type { AdvertSources } from './protocol-adapter.js';
import type { RunningConfiguration } from './running-configuration.js';

/** How one virtual router's adverts go, and all else that it says of itself on the LAN: from which addresses, and to whom. */
export class AdvertRoute implements NoticeRoute {
  readonly #running: RunningConfiguration;
  readonly #parent: Pick<ParentPort, 'state' | 'send' | 'sendRouted'>;

  constructor(running: RunningConfiguration, parent: Pick<ParentPort, 'state' | 'send' | 'sendRouted'>) {
    this.#running = running;
    this.#parent = parent;
  }

  get config(): NoticeRoute['config'] {
    return this.#running.config;
  }

  get families(): readonly AddressFamily[] {
    return this.#running.adapter.families;
  }

  /** To single peers, by the kernel's routes. */
  get isUnicast(): boolean {
    return this.#running.config.unicast !== undefined;
  }

  get sources(): AdvertSources {
    const { primaryAddress, linkLocal, addresses } = this.#parent.state;
    const asked = this.#running.config.unicast?.source;
    if (asked === undefined) return { 4: primaryAddress, 6: linkLocal };
    const source = addresses.includes(asked) ? asked : undefined;
    return familyOf(asked) === 4 ? { 4: source, 6: linkLocal } : { 4: primaryAddress, 6: source };
  }

  /** Those that have a source. In two forms of checksum it still is one advert for each. */
  get familiesOut(): number {
    const { sources } = this;
    return this.families.filter((family) => sources[family] !== undefined).length;
  }

  /** Adverts go out in each family, so the parent needs an address of its own in each. */
  get lacksSource(): boolean {
    const { sources } = this;
    return this.families.some((family) => sources[family] === undefined);
  }

  /** The addresses its adverts come from: how the others of the cluster recognise it. */
  get lanAddress(): string | null {
    const { sources } = this;
    const known = this.families.flatMap((family) => sources[family] ?? []);
    return known.length === 0 ? null : known.join(',');
  }

  /** Puts the frames of an advert on the wire; returns how many were taken. */
  send(frames: readonly Uint8Array[]): number {
    return this.isUnicast ? this.#parent.sendRouted(frames) : this.#parent.send(frames);
  }
}
