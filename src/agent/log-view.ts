import { type NodeId, nodeId } from '../core/identity.js';
import { claimPlace, type Ownership, successorOf } from '../core/ownership.js';
import { writeOwnership } from '../ipc/ownership-message.js';
import type { ToDataplane } from '../ipc/protocol.js';
import type { ReportedVirtualRouter } from '../log/event.js';
import { contendersFor, type LogState } from '../log/projection.js';

type LogMessage = Extract<ToDataplane, { type: 'log' }>;

export interface OwnRouter {
  readonly name: string;
  readonly priority: number;
}

/**
 * What the dataplane has to know of the log, as differences to what it was told last. One for each connection: a new
 * connection starts with everything.
 */
export class LogViewer {
  readonly #node: NodeId;
  readonly #routers: () => readonly OwnRouter[];
  readonly #told = new Map<string, string>();
  /** What a node reports stays the same for long, and each event of the log makes this look. */
  readonly #addresses = new WeakMap<readonly ReportedVirtualRouter[], string[]>();
  #toldRest = '';

  constructor(node: string, routers: () => readonly OwnRouter[]) {
    this.#node = nodeId(node);
    this.#routers = routers;
  }

  /** The next message, or undefined where nothing changed. */
  next(state: LogState, reachable: boolean, newest: (vr: string) => Ownership | undefined): LogMessage | undefined {
    const vrs: LogMessage['vrs'] = [];
    for (const router of this.#routers()) {
      const view = this.#view(state, router, newest(router.name));
      const text = JSON.stringify(view);
      if (this.#told.get(router.name) === text) continue;
      this.#told.set(router.name, text);
      vrs.push(view);
    }
    const nodes = this.#lanAddresses(state);
    const rest = JSON.stringify([reachable, nodes]);
    if (vrs.length === 0 && rest === this.#toldRest) return undefined;
    this.#toldRest = rest;
    return { type: 'log', reachable, vrs, nodes };
  }

  #view(state: LogState, router: OwnRouter, ownership: Ownership | undefined): LogMessage['vrs'][number] {
    const self = { node: this.#node, priority: router.priority };
    const contenders = contendersFor(state, router.name);
    return {
      name: router.name,
      ownership: writeOwnership(ownership),
      successor: successorOf(contenders, this.#node) ?? null,
      place: claimPlace(contenders, self, ownership?.owner),
      highestTerm: state.virtualRouters.get(router.name)?.highestTerm ?? 0,
      highestLoggedTerm: state.virtualRouters.get(router.name)?.highestTermInLog ?? 0,
    };
  }

  #lanAddresses(state: LogState): LogMessage['nodes'] {
    return [...state.nodes.values()].map(({ node, virtualRouters }) => {
      const known = this.#addresses.get(virtualRouters) ?? addressesOf(virtualRouters);
      this.#addresses.set(virtualRouters, known);
      return { node, lanAddresses: known };
    });
  }
}

function addressesOf(virtualRouters: readonly ReportedVirtualRouter[]): string[] {
  return [...new Set(virtualRouters.flatMap((vr) => vr.lanAddress.split(',')).filter((one) => one !== ''))];
}
