import { canonicalAddress, parsePrefix, parseVirtualAddress, type VirtualAddress } from './address.js';
import type {
  EmbeddedLogConfig,
  InterfaceSelector,
  KoiConfig,
  ListenAddress,
  LogAuthentication,
  LogConfig,
  NamespaceSelector,
  RouteConfig,
  TrackConfig,
  VirtualIp,
  VirtualRouterConfig,
} from './config.js';
import { parseListen } from './listen.js';
import type { ConfigDocument } from './schema.js';

/** Makes the configuration out of a document that passed the schema and the cross-checks. */
export function buildConfig(document: ConfigDocument, node: string): KoiConfig {
  return deepFreeze({
    cluster: document.cluster,
    node,
    log: buildLog(document.log),
    lease: { ttlMs: document.lease?.ttl ?? 4_000, renewMs: document.lease?.renew ?? 1_000 },
    arbitrationTimeoutMs: document.arbitrationTimeout,
    challengeTimeoutMs: document.challengeTimeout,
    guard: { timeoutMs: document.guard?.timeout ?? 300 },
    realtime: { priority: document.realtime?.priority, lockMemory: document.realtime?.lockMemory ?? false },
    lanKeyFile: document.lanKeyFile,
    http: { listen: listenAddress(document.http?.listen ?? '127.0.0.1:9650') },
    control: document.control,
    stateDir: document.stateDir,
    track: (document.track ?? []).map(buildTrack),
    virtualRouters: document.virtualRouters.map((router) => buildRouter(router, document)),
  });
}

function buildLog(log: ConfigDocument['log']): LogConfig {
  return {
    servers: log.servers ?? [],
    replicas: log.replicas,
    authentication: authentication(log),
    tls: log.tls === undefined ? undefined : withoutUndefined(log.tls),
    embedded: log.embedded === undefined ? undefined : buildEmbedded(log.embedded),
  };
}

export function buildEmbedded(embedded: NonNullable<ConfigDocument['log']['embedded']>): EmbeddedLogConfig {
  const { listen, storeDir, maxStore, binary, cluster } = embedded;
  return {
    listen: listenAddress(listen),
    storeDir,
    maxStoreBytes: maxStore ?? 4 * 2 ** 30,
    binary,
    cluster:
      cluster === undefined
        ? undefined
        : { name: cluster.name, listen: listenAddress(cluster.listen), routes: cluster.routes },
  };
}

export function authentication(log: Omit<ConfigDocument['log'], 'replicas'>): LogAuthentication {
  if (log.credentials !== undefined) return { kind: 'credentials', file: log.credentials };
  if (log.user !== undefined && log.passwordFile !== undefined) {
    return { kind: 'passwordFile', user: log.user, file: log.passwordFile };
  }
  if (log.user !== undefined) return { kind: 'password', user: log.user, password: log.password ?? '' };
  if (log.token !== undefined) return { kind: 'token', token: log.token };
  if (log.nkey !== undefined) return { kind: 'nkey', file: log.nkey };
  return { kind: 'none' };
}

function buildTrack(track: NonNullable<ConfigDocument['track']>[number]): TrackConfig {
  const { name, weight, reverse } = track;
  const base = { name, weight, reverse };
  if (track.interface !== undefined) return { ...base, kind: 'interface', interface: selector(track.interface) };
  if (track.file !== undefined) return { ...base, kind: 'file', file: track.file, intervalMs: track.interval ?? 1_000 };
  const polled = {
    ...base,
    intervalMs: track.interval ?? (track.script === undefined ? 1_000 : 2_000),
    fall: track.fall ?? (track.script === undefined ? 1 : 2),
    rise: track.rise ?? (track.script === undefined ? 1 : 2),
  };
  if (track.process !== undefined) {
    return { ...polled, kind: 'process', process: track.process, quorum: track.quorum ?? 1 };
  }
  if (track.route !== undefined) {
    const destination = checked(parsePrefix(track.route), track.route);
    return { ...polled, kind: 'route', destination, table: track.table ?? 254 };
  }
  return {
    ...polled,
    kind: 'script',
    command: track.script ?? [],
    timeoutMs: track.timeout ?? 1_000,
    user: track.user,
  };
}

function buildRouter(router: ConfigDocument['virtualRouters'][number], document: ConfigDocument): VirtualRouterConfig {
  const { unicast, hooks } = router;
  const base = {
    name: router.name,
    interface: selector(router.interface),
    id: router.id,
    preempt: { enabled: router.preempt?.enabled ?? true, delayMs: router.preempt?.delay ?? 0 },
    startDelayMs: router.startDelay ?? document.startDelay,
    addresses: router.addresses.map(virtualIp),
    routes: (router.routes ?? []).map(buildRoute),
    accept: router.accept,
    arbitration: router.arbitration ?? document.arbitration,
    onLogLoss: router.onLogLoss ?? document.onLogLoss,
    onPathSplit: router.onPathSplit ?? document.onPathSplit,
    unicast:
      unicast === undefined
        ? undefined
        : {
            source: unicast.source === undefined ? undefined : hostAddress(unicast.source),
            peers: unicast.peers.map(hostAddress),
            minTtl: unicast.minTtl,
          },
    namespace: namespaceSelector(router.namespace),
    track: router.track ?? [],
    syncGroup: router.syncGroup,
    hooks:
      hooks === undefined
        ? undefined
        : {
            preAttach: hooks.preAttach,
            postMaster: hooks.postMaster,
            preRelease: hooks.preRelease,
            postRelease: hooks.postRelease,
            timeoutMs: hooks.timeout,
            user: hooks.user,
            onFailure: hooks.onFailure,
          },
  };
  if (router.protocol === 'carp') {
    return {
      ...base,
      protocol: 'carp',
      flavor: router.carp?.flavor ?? 'freebsd',
      advbase: router.carp?.advbase ?? 1,
      advskew: router.carp?.advskew ?? 0,
      demotion: router.carp?.demotion ?? 0,
      passwordFile: router.carp?.passwordFile,
    };
  }
  const auth = router.vrrp2?.auth;
  return {
    ...base,
    protocol: router.protocol,
    // RFC 9568 §5.2.4: 100 is the default of a backup.
    priority: router.priority ?? 100,
    advertIntervalMs: router.advertInterval ?? 1_000,
    authentication: auth === undefined ? undefined : { passwordFile: auth.passwordFile },
    checksum: router.checksum ?? 'auto',
    authHmac: router.authHmac,
  };
}

function selector(given: ConfigDocument['virtualRouters'][number]['interface']): InterfaceSelector {
  if (typeof given === 'string') return { by: 'name', value: given };
  if (given.mac !== undefined) return { by: 'mac', value: given.mac.toLowerCase() };
  if (given.path !== undefined) return { by: 'path', value: given.path };
  if (given.altname !== undefined) return { by: 'altname', value: given.altname };
  return { by: 'name', value: checked(given.name, 'interface') };
}

function namespaceSelector(
  given: ConfigDocument['virtualRouters'][number]['namespace'],
): NamespaceSelector | undefined {
  if (given === undefined) return undefined;
  if (typeof given === 'string') return { by: 'name', value: given };
  if (given.pid !== undefined) return { by: 'pid', value: String(given.pid) };
  if (given.pidFile !== undefined) return { by: 'pidFile', value: given.pidFile };
  return { by: 'name', value: checked(given.name, 'namespace') };
}

function virtualIp(entry: ConfigDocument['virtualRouters'][number]['addresses'][number]): VirtualIp {
  if (typeof entry === 'string') return virtualAddress(entry);
  return {
    ...virtualAddress(entry.address),
    ...(entry.interface === undefined ? {} : { interface: selector(entry.interface) }),
    ...(entry.prefixRoute ? { prefixRoute: true } : {}),
    ...(entry.advertised ? {} : { advertised: false }),
  };
}

function buildRoute(route: NonNullable<ConfigDocument['virtualRouters'][number]['routes']>[number]): RouteConfig {
  return {
    destination: checked(parsePrefix(route.to), route.to),
    via: route.via === undefined ? undefined : hostAddress(route.via),
    source: route.source === undefined ? undefined : hostAddress(route.source),
    table: route.table,
    metric: route.metric,
  };
}

function virtualAddress(text: string): VirtualAddress {
  const parsed = parseVirtualAddress(text);
  return checked(parsed.ok ? parsed.value : undefined, text);
}

const hostAddress = (text: string): string => checked(canonicalAddress(text), text).address;
const listenAddress = (text: string): ListenAddress => checked(parseListen(text), text);

/** The schema and the cross-checks have refused what would be undefined here. */
function checked<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the configuration passed its checks with an unusable value: ${what}`);
  return value;
}

function withoutUndefined(tls: { ca?: string | undefined; cert?: string | undefined; key?: string | undefined }) {
  return {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
