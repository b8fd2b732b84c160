import type { KoiConfig } from '../../src/config/config.js';
import { parseConfig } from '../../src/config/load.js';
import type { VrStateMessage } from '../../src/ipc/protocol.js';

/** The configuration of node r1, with these virtual routers of priority 200, in mode `log`. */
export function configOf(...routers: readonly string[]): KoiConfig {
  const vrs = routers.map(
    (name, index) =>
      `{name: ${name}, interface: eth1, id: ${51 + index}, priority: 200, addresses: [10.77.0.${250 - index}/24]}`,
  );
  const parsed = parseConfig(
    `{cluster: edge, node: r1, log: {servers: ["nats://10.99.0.9:4222"]}, virtualRouters: [${vrs.join(', ')}]}`,
    { environment: {} },
  );
  if (!parsed.ok) throw new Error(parsed.errors.map(({ message }) => message).join('; '));
  return parsed.config;
}

/** What a dataplane tells of a virtual router: a backup, unless told otherwise. */
export const toldOf = (vr: string, over: Partial<VrStateMessage> = {}): VrStateMessage => ({
  vr,
  state: 'backup',
  reason: 'started',
  term: 3,
  standing: null,
  sinceWallMs: 0,
  lastFrom: 'init',
  heardMaster: null,
  interface: 'eth1',
  virtualMac: '00:00:5e:00:01:33',
  lanAddress: '10.77.0.1',
  priority: 200,
  tracks: [],
  warnings: [],
  ...over,
});
