import type { Lan } from './lan.js';
import { Random } from './random.js';
import type { SimulatedNode } from './simulated-node.js';
import type { World } from './world.js';

/*
 * Faults of the LAN that last. All of them leave every carrier on, and the log as it is: the nodes know of each other what
 * they find out. Drawn apart from everything else, so that a run is otherwise the run that its seed was without.
 */

const ownStream = 0x5eed_1501;
const isolatedInARun = 0.15;
const standsInARun = 0.5;

interface Site {
  readonly lan: Lan;
  readonly nodes: readonly SimulatedNode[];
  readonly random: Random;
}

const kinds = {
  /** The switch isolates the routers' ports from each other; the client reaches all of them. */
  isolated: ({ lan, nodes }: Site, by: 1 | -1) => {
    for (const a of nodes) for (const b of nodes) if (a !== b) lan.block(a.index, b.index, by);
  },
  port: ({ lan, nodes, random }: Site, by: 1 | -1) => port(lan, random.below(nodes.length), nodes.length, by, 'both'),
  deaf: ({ lan, nodes, random }: Site, by: 1 | -1) => port(lan, random.below(nodes.length), nodes.length, by, 'in'),
  mute: ({ lan, nodes, random }: Site, by: 1 | -1) => port(lan, random.below(nodes.length), nodes.length, by, 'out'),
  pair: ({ lan, nodes, random }: Site, by: 1 | -1) => {
    const a = random.below(nodes.length);
    const b = (a + 1 + random.below(nodes.length - 1)) % nodes.length;
    lan.block(a, b, by);
    if (random.chance(0.5)) lan.block(b, a, by);
  },
  /** The switch floods no multicast: adverts alone are lost. */
  multicast: ({ lan }: Site) => {
    lan.floodsMulticast = false;
    lan.changed = true;
  },
} satisfies Record<string, (site: Site, by: 1 | -1) => void>;

type Kind = keyof typeof kinds;

/** The client's port is the one after the nodes'. */
function port(lan: Lan, node: number, client: number, by: 1 | -1, direction: 'in' | 'out' | 'both'): void {
  for (let other = 0; other <= client; other++) {
    if (other === node) continue;
    if (direction !== 'in') lan.block(node, other, by);
    if (direction !== 'out') lan.block(other, node, by);
  }
}

/** In some runs, beside everything else that fails, the routers' ports are isolated from each other for a while. */
export function planIsolation(
  { lan, time, trace }: World,
  nodes: readonly SimulatedNode[],
  seed: number,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): void {
  const random = new Random(seed ^ ownStream);
  if (!random.chance(isolatedInARun)) return;
  const beginsMs = random.between(fromMs, toMs);
  const endsMs = Math.min(toMs, beginsMs + random.logBetween(500, 8000));
  const site: Site = { lan, nodes, random };
  time.at(beginsMs, () => {
    trace.note('-', 'fault', () => 'isolated ports');
    kinds.isolated(site, 1);
  });
  time.at(endsMs, () => {
    trace.note('-', 'healed', () => 'isolated ports');
    kinds.isolated(site, -1);
  });
}

/** Breaks the LAN for good, in some runs; says whether it did. */
export function breakForGood({ lan, trace }: World, nodes: readonly SimulatedNode[], seed: number): boolean {
  const random = new Random((seed + 1) ^ ownStream);
  if (!random.chance(standsInARun)) return false;
  const count = random.pick([1, 1, 1, 2]);
  for (let broken = 0; broken < count; broken++) {
    const kind = random.pick<Kind>([
      'isolated',
      'isolated',
      'port',
      'port',
      'deaf',
      'mute',
      'mute',
      'pair',
      'multicast',
    ]);
    trace.note('-', 'fault', () => `${kind}, for good`);
    kinds[kind]({ lan, nodes, random }, 1);
  }
  return true;
}
