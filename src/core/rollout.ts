/*
 * In which order the pods of the dataplanes are replaced: one node at a time, whoever is master of nothing first, the
 * master of most last. A node that restarts hands over to the one that restarted last, which then has been replaced
 * already; so each virtual router moves once.
 */

/** What Koi itself says on a node. */
export type NodeWord =
  | { readonly kind: 'well' }
  | { readonly kind: 'unwell'; readonly why: string }
  | { readonly kind: 'silent'; readonly why: string };

export interface RolloutPod {
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  /** Whether it is of the revision that the DaemonSet has now. */
  readonly isNewest: boolean;
  /** By the kubelet's word, and for as long as the DaemonSet asks. */
  readonly isReady: boolean;
  /** It has been deleted, and has not ended yet. */
  readonly isEnding: boolean;
  readonly word: NodeWord;
}

export interface RolloutRouter {
  readonly name: string;
  readonly masters: readonly string[];
  /** Undefined where the nodes are too old to say. */
  readonly preempt: boolean | undefined;
  /** The node that has a higher priority than each other one; undefined where several share the highest. */
  readonly bestPlaced: string | undefined;
}

export interface RolloutView {
  /** How many nodes the DaemonSet wants a pod on. */
  readonly desired: number;
  readonly pods: readonly RolloutPod[];
  readonly routers: readonly RolloutRouter[];
}

export type RolloutStep =
  | { readonly kind: 'replace'; readonly pod: RolloutPod; readonly masterOf: readonly string[] }
  /** `node` is undefined where it is not known which one it is. */
  | { readonly kind: 'wait'; readonly node: string | undefined; readonly why: string }
  | { readonly kind: 'done' };

/** What one node says of its virtual routers. */
export interface NodeStatus {
  readonly node: string;
  readonly routers: readonly {
    readonly name: string;
    readonly state: string;
    readonly owner: string | null;
    readonly preempt: boolean | undefined;
    readonly priorities: readonly { readonly node: string; readonly priority: number }[];
  }[];
}

/** What is to be done now. Nothing is remembered: whoever is interrupted goes on with the next look. */
export function nextStep(view: RolloutView): RolloutStep {
  const { desired, pods } = view;
  const ending = pods.find(({ isEnding }) => isEnding);
  if (ending !== undefined) return wait(ending, 'has not ended yet');
  const unwell = pods.find(({ isNewest, isReady, word }) => isNewest && !(isReady && word.kind === 'well'));
  if (unwell !== undefined) return wait(unwell, `is not ready yet${wordOf(unwell)}`);
  if (pods.length < desired) {
    const why = `${pods.length} of ${desired} nodes have a pod of the DaemonSet`;
    return { kind: 'wait', node: undefined, why };
  }
  const order = rolloutOrder(view);
  const [next] = order;
  if (next === undefined) return { kind: 'done' };
  const silent = order.find(({ isReady, word }) => isReady && word.kind === 'silent');
  if (silent !== undefined) return wait(silent, `does not tell what it is master of${wordOf(silent)}`);
  return { kind: 'replace', pod: next, masterOf: masterOf(view, next.node) };
}

/** The pods that are left, in the order in which they are replaced. One that is not ready serves nobody: it comes first. */
export function rolloutOrder(view: RolloutView): RolloutPod[] {
  const counted = view.pods
    .filter(({ isNewest }) => !isNewest)
    .map((pod) => ({ pod, count: masterOf(view, pod.node).length }));
  return counted
    .sort(
      (a, b) =>
        Number(a.pod.isReady) - Number(b.pod.isReady) || a.count - b.count || (a.pod.node < b.pod.node ? -1 : 1),
    )
    .map(({ pod }) => pod);
}

/** The virtual routers that nobody, or more than one, is master of: where one is just moving. */
export const unsettled = ({ routers }: RolloutView): string[] =>
  routers.filter(({ masters }) => masters.length !== 1).map(({ name }) => name);

export interface ExpectedMoves {
  readonly vr: string;
  readonly moves: number;
  /** Why it is not 1; empty where it is. */
  readonly why: string;
}

/** How often each virtual router will move, if nothing else happens meanwhile. */
export function expectedMoves(view: RolloutView): ExpectedMoves[] {
  const order = rolloutOrder(view);
  const [first] = order;
  const nobodyBefore = order.length === view.pods.length && order.length > 1;
  return view.routers.map(({ name, masters, preempt, bestPlaced }) => {
    const [master] = masters;
    if (master === undefined || !order.some(({ node }) => node === master)) return { vr: name, moves: 0, why: '' };
    if (bestPlaced === master && preempt !== false) {
      const verb = preempt === true ? 'takes' : 'may take';
      return { vr: name, moves: 2, why: `${master} has the highest priority and ${verb} it back` };
    }
    if (nobodyBefore && master === first?.node) {
      const why = `${master} is the first, and whoever takes it over is to be replaced, too`;
      return { vr: name, moves: 2, why };
    }
    return { vr: name, moves: 1, why: '' };
  });
}

/**
 * Who is master of what. A node's own word counts; of a node that says nothing, the others'.
 * @param nodes all that have a pod
 */
export function routersOf(nodes: readonly string[], statuses: readonly NodeStatus[]): RolloutRouter[] {
  const told = new Set(statuses.map(({ node }) => node));
  const names = [...new Set(statuses.flatMap(({ routers }) => routers.map(({ name }) => name)))].sort();
  return names.map((name) => {
    const entries = statuses.flatMap(({ node, routers }) =>
      routers.filter((router) => router.name === name).map((router) => ({ node, ...router })),
    );
    const masters = new Set(entries.filter(({ state }) => state === 'master').map(({ node }) => node));
    for (const { owner } of masters.size === 0 ? entries : []) {
      if (owner !== null && nodes.includes(owner) && !told.has(owner)) masters.add(owner);
    }
    const priorities = new Map(entries.flatMap((entry) => entry.priorities.map((each) => [each.node, each.priority])));
    const highest = Math.max(...priorities.values());
    const best = [...priorities].filter(([, priority]) => priority === highest).map(([node]) => node);
    const preempts = entries.map(({ preempt }) => preempt);
    return {
      name,
      masters: [...masters].sort(),
      preempt: preempts.includes(true) ? true : preempts.includes(undefined) ? undefined : false,
      bestPlaced: best.length === 1 && priorities.size > 1 ? best[0] : undefined,
    };
  });
}

const masterOf = ({ routers }: RolloutView, node: string): string[] =>
  routers.filter(({ masters }) => masters.includes(node)).map(({ name }) => name);

const wait = ({ node, name }: RolloutPod, why: string): RolloutStep => ({
  kind: 'wait',
  node,
  why: `its pod ${name} ${why}`,
});

const wordOf = ({ word }: RolloutPod): string => (word.kind === 'well' ? '' : `: ${word.why}`);
