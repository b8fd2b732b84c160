/** A virtual router of the lab. */
export interface VirtualRouterSpec {
  readonly name: string;
  /** VRID, the last byte of its virtual MAC. */
  readonly id: number;
  readonly address: string;
  readonly arbitration: 'wire' | 'log';
}

/** What the lab is built of; scenarios of one setup share one cluster. */
export interface Setup {
  readonly name: string;
  /** How many nats-servers keep the log; three keep each event three times. */
  readonly logServers: 1 | 3;
  /** The routers reach the log through a relay that can delay what passes. */
  readonly relayed: boolean;
  /** Where it differs from the command line's. */
  readonly advertIntervalMs?: number;
  /** The first one is the one that everything is about. */
  readonly virtualRouters: readonly VirtualRouterSpec[];
}

const gateway: VirtualRouterSpec = { name: 'gw', id: 51, address: '10.77.0.254', arbitration: 'log' };

/** One server keeps the log. */
export const single: Setup = { name: 'single', logServers: 1, relayed: false, virtualRouters: [gateway] };

/** Three servers keep the log, on hosts of their own. */
export const cluster: Setup = { name: 'cluster', logServers: 3, relayed: false, virtualRouters: [gateway] };

export function virtualMacOf({ id }: VirtualRouterSpec): string {
  return `00:00:5e:00:01:${id.toString(16).padStart(2, '0')}`;
}
