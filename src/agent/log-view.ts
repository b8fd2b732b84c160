import { isDeepStrictEqual } from 'node:util';
import { type NodeId, nodeId } from '../core/identity.js';
import { type Contender, claimPlace, type Ownership, successorOf } from '../core/ownership.js';
import { writeOwnership } from '../ipc/ownership-message.js';
import type { ToDataplane } from '../ipc/protocol.js';
import type { ReportedVirtualRouter } from '../log/event.js';
import { contendersOfEach, type LogState, type NodeRecord, type VirtualRouterRecord } from '../log/projection.js';

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
  readonly #routers: (names?: ReadonlySet<string>) => readonly OwnRouter[];
  readonly #told = new Map<string, string>();
  /** What each was last told from: where it is the same, so is the view. */
  readonly #grounds = new Map<string, Grounds>();
  #nodes: readonly NodeRecord[] = [];
  #contenders: ReadonlyMap<string, readonly Contender[]> = new Map();
  /** What a node reports stays the same for long, and each event of the log makes this look. */
  readonly #addresses = new WeakMap<readonly ReportedVirtualRouter[], string[]>();
  #toldRest = '';

  /** @param routers this node's, or those of them that are named */
  constructor(node: string, routers: (names?: ReadonlySet<string>) => readonly OwnRouter[]) {
    this.#node = nodeId(node);
    this.#routers = routers;
  }

  /**
   * The next message, or undefined where nothing changed.
   * @param touched of which alone the log, this node's own writes or its standing may say something else; undefined: of any
   */
  next(
    state: LogState,
    reachable: boolean,
    newest: (vr: string) => Ownership | undefined,
    touched?: ReadonlySet<string>,
  ): LogMessage | undefined {
    const vrs: LogMessage['vrs'] = [];
    const before = this.#contenders;
    const contenders = this.#contendersIn(state);
    const isAny = touched === undefined || contenders !== before || this.#grounds.size === 0;
    for (const router of isAny ? this.#routers() : this.#routers(touched)) {
      const { name, priority } = router;
      const grounds: Grounds = {
        priority,
        ownership: newest(name),
        record: state.virtualRouters.get(name),
        contenders: contenders.get(name) ?? nobody,
      };
      if (areSame(grounds, this.#grounds.get(name))) continue;
      this.#grounds.set(name, grounds);
      const view = this.#view(name, grounds);
      const text = JSON.stringify(view);
      if (this.#told.get(name) === text) continue;
      this.#told.set(name, text);
      vrs.push(view);
    }
    const nodes = this.#lanAddresses(state);
    const rest = JSON.stringify([reachable, nodes]);
    if (vrs.length === 0 && rest === this.#toldRest) return undefined;
    this.#toldRest = rest;
    return { type: 'log', reachable, vrs, nodes };
  }

  #view(name: string, { priority, ownership, record, contenders }: Grounds): LogMessage['vrs'][number] {
    return {
      name,
      ownership: writeOwnership(ownership),
      successor: successorOf(contenders, this.#node) ?? null,
      place: claimPlace(contenders, { node: this.#node, priority }, ownership?.owner),
      highestTerm: record?.highestTerm ?? 0,
      highestLoggedTerm: record?.highestTermInLog ?? 0,
    };
  }

  /** Made anew only where a node says something else of its virtual routers, or comes or goes. */
  #contendersIn(state: LogState): ReadonlyMap<string, readonly Contender[]> {
    const nodes = [...state.nodes.values()];
    const isSame = (node: NodeRecord, index: number): boolean => {
      const before = this.#nodes[index];
      return (
        before?.node === node.node && before.virtualRouters === node.virtualRouters && before.stopped === node.stopped
      );
    };
    if (nodes.length !== this.#nodes.length || !nodes.every(isSame)) this.#contenders = contendersOfEach(nodes);
    this.#nodes = nodes;
    return this.#contenders;
  }

  #lanAddresses(state: LogState): LogMessage['nodes'] {
    return [...state.nodes.values()].map(({ node, virtualRouters }) => {
      const known = this.#addresses.get(virtualRouters) ?? addressesOf(virtualRouters);
      this.#addresses.set(virtualRouters, known);
      return { node, lanAddresses: known };
    });
  }
}

/** Everything that a view is made of. */
interface Grounds {
  readonly priority: number;
  readonly ownership: Ownership | undefined;
  readonly record: VirtualRouterRecord | undefined;
  readonly contenders: readonly Contender[];
}

const nobody: readonly Contender[] = [];

const areSame = (a: Grounds, b: Grounds | undefined): boolean =>
  b !== undefined &&
  a.priority === b.priority &&
  a.record === b.record &&
  a.contenders === b.contenders &&
  (a.ownership === b.ownership || isDeepStrictEqual(a.ownership, b.ownership));

/** Where a node is on its LANs. */
export function addressesOf(virtualRouters: readonly ReportedVirtualRouter[]): string[] {
  return [...new Set(virtualRouters.flatMap((vr) => vr.lanAddress.split(',')).filter((one) => one !== ''))];
}
