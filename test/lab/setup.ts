/** A virtual router of the lab. */
export interface VirtualRouterSpec {
  readonly name: string;
  /** VRID, the last byte of its virtual MAC. */
  readonly id: number;
  readonly address: string;
  readonly arbitration: 'wire' | 'log';
  /** Of which of the routers' LANs; default 1, the client's. */
  readonly lan?: number;
}

/** What the lab is built of; scenarios of one setup share one cluster. */
export interface Setup {
  readonly name: string;
  /** How many nats-servers keep the log; three keep each event three times. */
  readonly logServers: 1 | 3;
  /** Each router runs a server of its own beside them (`log.embedded`); the log's one is the witness then. */
  readonly embedded?: boolean;
  readonly onPathSplit?: 'hold' | 'take';
  readonly onLogLoss?: 'wire' | 'hold' | 'release';
  /** The routers reach the log through a relay that can delay what passes. */
  readonly relayed: boolean;
  /** Where it differs from the command line's. */
  readonly advertIntervalMs?: number;
  /** The first one is the one that everything is about. */
  readonly virtualRouters: readonly VirtualRouterSpec[];
  /** Silence of the dataplane after which its guard fences. */
  readonly guardTimeoutMs?: number;
  /** Addresses that the client probes beside the first one's. */
  readonly sampled?: readonly string[];
  /** A better placed router takes back what a worse one has; it does not elsewhere, so that no run waits for that. */
  readonly preempts?: boolean;
  /** How many LANs the routers have; default 1. */
  readonly lans?: number;
  /** How Koi sums its adverts; default `auto`. */
  readonly checksum?: string;
  /** There are too many adverts to be recorded one by one. */
  readonly advertsUnrecorded?: boolean;
}

const gateway: VirtualRouterSpec = { name: 'gw', id: 51, address: '10.77.0.254', arbitration: 'log' };

/** One server keeps the log. */
export const single: Setup = { name: 'single', logServers: 1, relayed: false, virtualRouters: [gateway] };

/** Koi's own default: how long a node counts as alive in the log without a renewal. */
export const leaseMs = 4_000;

/** Three servers keep the log, on hosts of their own. */
export const cluster: Setup = { name: 'cluster', logServers: 3, relayed: false, virtualRouters: [gateway] };

/** The same, with other answers to what leaves a choice. */
export const clusterTaking: Setup = { ...cluster, name: 'cluster-taking', onPathSplit: 'take' };
export const clusterHolding: Setup = { ...cluster, name: 'cluster-holding', onLogLoss: 'hold' };
export const clusterReleasing: Setup = { ...cluster, name: 'cluster-releasing', onLogLoss: 'release' };

/** A pair that runs the log itself, with a witness: three servers, two of them on the routers. */
export const clusterEmbedded: Setup = { ...cluster, name: 'cluster-embedded', logServers: 1, embedded: true };

/** How many servers keep each event. */
export const replicasOf = ({ logServers, embedded }: Setup): number => (embedded === true ? 3 : logServers);

/** Two virtual routers, alike but for who decides: what the log's word costs, failure by failure. */
export const arbitrated: Setup = {
  name: 'arbitrated',
  logServers: 1,
  relayed: false,
  advertIntervalMs: 100,
  virtualRouters: [gateway, { name: 'wired', id: 52, address: '10.77.0.253', arbitration: 'wire' }],
};
export const arbitratedByThree: Setup = { ...arbitrated, name: 'arbitrated-by-three', logServers: 3 };
export const arbitratedLate: Setup = { ...arbitrated, name: 'arbitrated-late', relayed: true };

/** As many virtual routers as a large site has on one LAN. */
export const many: Setup = {
  name: 'many',
  logServers: 1,
  relayed: false,
  virtualRouters: [gateway, ...Array.from({ length: 199 }, (_, index) => numbered(index + 1))],
  // Both routers share one kernel here, and with it the lock that every change of a link waits for.
  guardTimeoutMs: 2_000,
  sampled: ['10.77.0.4', '10.77.0.90', '10.77.0.150', '10.77.0.203'],
};

export const manyPreempting: Setup = { ...many, name: 'many-preempting', preempts: true };

/** No more than 255 fit on one LAN, whose ids they need. */
const perLan = 200;
export const loadedMax = 1_000;

/**
 * So many virtual routers, on as many LANs as they need, for measuring what they cost. Each advert goes out once, as
 * keepalived's do.
 */
export function loaded(count: number): Setup {
  const lans = Math.ceil(count / perLan);
  const others = Array.from({ length: count }, (_, at) => {
    const spec = many.virtualRouters[at % perLan] ?? gateway;
    const lan = Math.floor(at / perLan) + 1;
    if (lan === 1) return spec;
    return { ...spec, name: `lan${lan}-${spec.name}`, address: spec.address.replace('.77.', `.${76 + lan}.`), lan };
  });
  const { sampled: _, ...rest } = many;
  return {
    ...rest,
    name: `loaded-${count}`,
    lans,
    virtualRouters: others,
    checksum: 'pseudo-header',
    advertsUnrecorded: true,
  };
}

/** The routers' interface on a LAN. */
export const interfaceOf = ({ lan = 1 }: { readonly lan?: number | undefined }): string => `eth${lan}`;

/** VRIDs 1 to 200 without the gateway's, addresses from .4 on without the client's. */
function numbered(index: number): VirtualRouterSpec {
  const id = index < gateway.id ? index : index + 1;
  const host = index + 3 < 100 ? index + 3 : index + 4;
  return { name: `vr${id}`, id, address: `10.77.0.${host}`, arbitration: 'log' };
}

export function virtualMacOf({ id }: VirtualRouterSpec): string {
  return `00:00:5e:00:01:${id.toString(16).padStart(2, '0')}`;
}
