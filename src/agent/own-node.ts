import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { routerNamed } from '../config/router-named.js';
import { placeOf } from '../core/election-rules.js';
import { type BootId, bootId, type NodeId, nodeId } from '../core/identity.js';
import type { VrStateMessage } from '../ipc/protocol.js';

/** This node: its configuration as it is in force, and what its dataplane last told of its virtual routers. */
export class OwnNode {
  readonly name: NodeId;
  readonly #isDrained: () => boolean;
  readonly #told = new Map<string, VrStateMessage>();
  #config: KoiConfig;
  #boot: BootId = bootId('');

  /** @param isDrained the operator has taken this node out of service */
  constructor(config: KoiConfig, isDrained: () => boolean) {
    this.name = nodeId(config.node);
    this.#config = config;
    this.#isDrained = isDrained;
  }

  get config(): KoiConfig {
    return this.#config;
  }

  /** Which run of the dataplane it is; the last one, where none is there. */
  get boot(): BootId {
    return this.#boot;
  }

  get isDrained(): boolean {
    return this.#isDrained();
  }

  /** By virtual router; nothing of those that the dataplane does not run. */
  get told(): ReadonlyMap<string, VrStateMessage> {
    return this.#told;
  }

  router(name: string): VirtualRouterConfig | undefined {
    return routerNamed(this.#config, name);
  }

  get routerNames(): string[] {
    return this.#config.virtualRouters.map(({ name }) => name);
  }

  dataplaneCame(boot: string, vrs: readonly VrStateMessage[]): void {
    this.#boot = bootId(boot);
    for (const state of vrs) this.#told.set(state.vr, state);
  }

  /** @returns what it had told before */
  tells(state: VrStateMessage): VrStateMessage | undefined {
    const before = this.#told.get(state.vr);
    this.#told.set(state.vr, state);
    return before;
  }

  dataplaneGone(): void {
    this.#told.clear();
  }

  /** @returns the virtual routers that are no more */
  adopt(config: KoiConfig): string[] {
    const gone = this.routerNames.filter((name) => routerNamed(config, name) === undefined);
    this.#config = config;
    for (const name of gone) this.#told.delete(name);
    return gone;
  }

  /** Where this node stands among the candidates, with what it tracks: 0 while it cannot serve, or may not. */
  place(vr: VirtualRouterConfig): number {
    if (this.isDrained) return 0;
    const told = this.#told.get(vr.name);
    if (told === undefined) return placeOf(electionOf(vr));
    return told.state === 'fault' ? 0 : told.priority;
  }

  /** 0 of one that it does not have. */
  placeIn(name: string): number {
    const vr = this.router(name);
    return vr === undefined ? 0 : this.place(vr);
  }

  /** Of all, or of those named. */
  places(names?: ReadonlySet<string>): readonly { readonly name: string; readonly priority: number }[] {
    const { virtualRouters } = this.#config;
    const asked = names === undefined ? virtualRouters : [...names].flatMap((name) => this.router(name) ?? []);
    return asked.map((vr) => ({ name: vr.name, priority: this.place(vr) }));
  }
}
