import type { SharedConfiguration } from '../core/config-version.js';
import { Random } from './random.js';
import type { SimulatedNode } from './simulated-node.js';
import type { World } from './world.js';

/** So that a run with changes is otherwise the run that its seed was without. */
const ownStream = 0x5eed_c0f1;
const changesInARun = 0.35;
/** From the first node that has another file to the last. */
const roundMs = 4000;

/** The configuration that an operator gives a virtual router at the nth time, 0 for the first. */
export const configurationOf = (vr: string, change: number): SharedConfiguration => ({
  digest: `${vr}.${change}`,
  protocol: 'vrrp3',
  id: 1,
  addresses: [`10.0.0.${200 + change}`],
  form: '',
  key: '',
});

/** Changes the list of addresses or the key of a virtual router, on one node after the other, while other things fail. */
export function planChanges(
  world: World,
  nodes: readonly SimulatedNode[],
  seed: number,
  within: { readonly fromMs: number; readonly toMs: number },
): void {
  const random = new Random(seed ^ ownStream);
  if (!random.chance(changesInARun)) return;
  const count = random.pick([1, 1, 2]);
  for (let change = 1; change <= count; change++) {
    const vr = random.pickAny(world.routers)?.name;
    if (vr === undefined) return;
    const share = (within.toMs - within.fromMs) / count;
    const beginsMs = within.fromMs + share * (change - 1) + random.between(0, Math.max(0, share - roundMs));
    for (const node of nodes) {
      world.time.at(Math.min(within.toMs, beginsMs + random.between(0, roundMs)), () =>
        node.edit(vr, configurationOf(vr, change)),
      );
    }
  }
}
