import type { VrStateName } from '../core/vr-state.js';

/** A name list that grew longer than a line of `systemctl status` is only counted. */
const namedMax = 4;

const named = (names: readonly string[]): string =>
  names.length <= namedMax ? names.join(', ') : `${names.length} virtual routers`;

/** What a dataplane is at the moment, in one line: `master of gw; backup of dns`. */
export function dataplaneStatus(
  vrs: readonly { readonly name: string; readonly state: VrStateName }[],
  drained: boolean,
): string {
  const byState = new Map<VrStateName, string[]>();
  for (const { name, state } of vrs) byState.set(state, [...(byState.get(state) ?? []), name]);
  const parts = [...byState]
    .sort(([a], [b]) => rank(a) - rank(b))
    .map(([state, names]) => (state === 'fault' ? `fault: ${named(names)}` : `${state} of ${named(names)}`));
  if (drained) parts.unshift('drained');
  return parts.length === 0 ? 'no virtual routers' : parts.join('; ');
}

/** What an operator wants to read first stands first. */
const order: readonly VrStateName[] = ['fault', 'fenced', 'master', 'draining', 'candidate', 'backup', 'init'];
const rank = (state: VrStateName): number => order.indexOf(state);
