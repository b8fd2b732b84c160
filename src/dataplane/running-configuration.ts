import type { VirtualRouterConfig } from '../config/config.js';
import type { SharedConfiguration } from '../core/config-version.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import { AdvertOverlap } from './advert-overlap.js';
import type { PreparedRouter } from './configuration-stage.js';
import type { AdvertPacket, AdvertSources, Judgement, ProtocolAdapter } from './protocol-adapter.js';

/** What the other nodes hear of a configuration, and have to agree with. */
export type Spoken = Pick<PreparedRouter, 'adapter' | 'shared'>;

/** The configuration that one virtual router runs, and the one that it changes over to together with the other nodes. */
export class RunningConfiguration {
  #config: VirtualRouterConfig;
  #adapter: ProtocolAdapter;
  #shared: SharedConfiguration;
  /** What waits until the others want the same. */
  #waiting: PreparedRouter | undefined;
  readonly #overlap = new AdvertOverlap();

  constructor({ config, adapter, shared }: PreparedRouter) {
    this.#config = config;
    this.#adapter = adapter;
    this.#shared = shared;
  }

  get config(): VirtualRouterConfig {
    return this.#config;
  }

  get adapter(): ProtocolAdapter {
    return this.#adapter;
  }

  /** What it has in common with the other nodes. */
  get shared(): SharedConfiguration {
    return this.#shared;
  }

  /** From now on, save for what others hear of it: {@link speak}. */
  adopt(config: VirtualRouterConfig): void {
    this.#config = config;
  }

  /**
   * What others hear is this from now on; for a while adverts of before are understood as well.
   * @returns what they heard before, for {@link takeBack}
   */
  speak({ adapter, shared }: Spoken, atMs: number): Spoken {
    const before = { adapter: this.#adapter, shared: this.#shared };
    this.#adapter = adapter;
    this.#shared = shared;
    if (shared.digest !== before.shared.digest) this.#overlap.replaced(before.adapter, atMs);
    return before;
  }

  /** Its new addresses could not be had. */
  takeBack({ adapter, shared }: Spoken, addresses: VirtualRouterConfig['addresses']): void {
    this.#config = { ...this.#config, addresses };
    this.#adapter = adapter;
    this.#shared = shared;
  }

  /** Another one is ready, and its adverts may come already. @returns whether that is news */
  prepare(waiting: PreparedRouter | undefined): boolean {
    if (waiting === this.#waiting) return false;
    this.#waiting = waiting;
    this.#overlap.expect(waiting?.adapter);
    return true;
  }

  /** What to make of an advert: it may come in another configuration that is on the wire at present. */
  judge(packet: AdvertPacket, frame: Uint8Array, sources: AdvertSources, atMs: number): Judgement {
    return this.#overlap.judge(this.#adapter, packet, frame, sources, atMs);
  }

  /** Whether adverts in no other configuration are understood. */
  isAlone(atMs: number): boolean {
    return this.#overlap.others(atMs).length === 0;
  }

  /** For the agent. */
  get described(): NonNullable<VrStateMessage['configuration']> {
    return { running: told(this.#shared), prepared: this.#waiting ? told(this.#waiting.shared) : null };
  }
}

/** Its addresses end with this node's lease. */
export const isLeased = ({ arbitration }: VirtualRouterConfig): boolean => arbitration === 'strict';

const told = (shared: SharedConfiguration) => ({ ...shared, addresses: [...shared.addresses] });
