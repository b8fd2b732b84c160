import { parseVirtualAddress, type VirtualAddress } from '../../src/config/address.js';
import type { VrrpRouterConfig } from '../../src/config/config.js';

export function virtualAddress(text: string): VirtualAddress {
  const parsed = parseVirtualAddress(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}

/** What every protocol's virtual router has, as a file that says no more than it must gives it. */
export const plainRouter = {
  name: 'gw',
  interface: { by: 'name', value: 'eth1' },
  id: 51,
  preempt: { enabled: true, delayMs: 0 },
  startDelayMs: 0,
  addresses: [virtualAddress('10.0.0.254/24')],
  arbitration: 'wire',
  onLogLoss: 'wire',
  onPathSplit: 'hold',
  unicast: undefined,
  routes: [],
  accept: true,
  namespace: undefined,
  track: [],
  syncGroup: undefined,
  hooks: undefined,
} as const;

export const vrrpRouter = (over: Partial<VrrpRouterConfig> = {}): VrrpRouterConfig => ({
  ...plainRouter,
  protocol: 'vrrp3',
  priority: 100,
  advertIntervalMs: 1000,
  authentication: undefined,
  checksum: 'auto',
  authHmac: undefined,
  ...over,
});
