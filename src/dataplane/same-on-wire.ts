import type { VirtualRouterConfig } from '../config/config.js';

/** Settings that are nobody's business but this node's. */
const unheard: ReadonlySet<string> = new Set([
  'accept',
  'preempt',
  'startDelayMs',
  'arbitration',
  'onLogLoss',
  'onPathSplit',
  'track',
  'syncGroup',
  'hooks',
]);

/** Whether others on the LAN would hear no difference between two configurations of one virtual router. */
export function isSameOnWire(a: VirtualRouterConfig, b: VirtualRouterConfig): boolean {
  const heard = (config: VirtualRouterConfig): string =>
    JSON.stringify(Object.fromEntries(Object.entries(config).filter(([key]) => !unheard.has(key))));
  return heard(a) === heard(b);
}

export const sameAddresses = (a: VirtualRouterConfig, b: VirtualRouterConfig): boolean =>
  JSON.stringify(a.addresses) === JSON.stringify(b.addresses);
