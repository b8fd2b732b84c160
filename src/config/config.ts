import type { VirtualAddress } from './address.js';

/** Who decides on a takeover: the protocol alone, the event log, or the log with proof. */
export type Arbitration = 'wire' | 'log' | 'strict';
/** What to do where the log cannot answer. */
export type OnLogLoss = 'wire' | 'hold' | 'release';
/** What to do where adverts are lost but the master answers a challenge. */
export type OnPathSplit = 'hold' | 'take';

/** How the agent proves to NATS who it is. Files are paths: read them with `readSecretFile`. */
export type LogAuthentication =
  | { readonly kind: 'none' }
  | { readonly kind: 'credentials'; readonly file: string }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'passwordFile'; readonly user: string; readonly file: string }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'nkey'; readonly file: string };

export interface LogTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface LogConfig {
  /** `nats://host:port` or `tls://host:port`, at least one unless koi runs the server itself. */
  readonly servers: readonly string[];
  readonly replicas: number;
  readonly authentication: LogAuthentication;
  readonly tls: LogTls | undefined;
  readonly embedded: EmbeddedLogConfig | undefined;
}

export interface EmbeddedLogConfig {
  readonly listen: ListenAddress;
  readonly storeDir: string;
  /** Most bytes that its streams may take. */
  readonly maxStoreBytes: number;
  /** Path of nats-server; undefined: the one in PATH. */
  readonly binary: string | undefined;
  readonly cluster:
    | { readonly name: string; readonly listen: ListenAddress; readonly routes: readonly string[] }
    | undefined;
}

export interface ListenAddress {
  /** An IP address or a host name; `0.0.0.0` and `::` mean every address. */
  readonly host: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
}

/** How the parent interface is found. Names are labels; the kernel's identity is bound at start. */
export type InterfaceSelector =
  | { readonly by: 'name'; readonly value: string }
  | { readonly by: 'mac'; readonly value: string }
  | { readonly by: 'path'; readonly value: string }
  | { readonly by: 'altname'; readonly value: string };

/** One of `ip netns`, or that of a process: by its number, or by the file that a container's manager writes it to. */
export type NamespaceSelector =
  | { readonly by: 'name'; readonly value: string }
  | { readonly by: 'pid'; readonly value: string }
  | { readonly by: 'pidFile'; readonly value: string };

interface TrackBase {
  readonly name: string;
  /**
   * 0: a virtual router that watches it is in fault while it is down. Negative: added to the priority while down;
   * positive: added while up.
   */
  readonly weight: number;
  /** Up counts as down, and down as up. */
  readonly reverse: boolean;
}

interface PolledTrack extends TrackBase {
  readonly intervalMs: number;
  /** Failures in a row that count as down. */
  readonly fall: number;
  /** Successes in a row that count as up. */
  readonly rise: number;
}

export interface InterfaceTrack extends TrackBase {
  readonly kind: 'interface';
  readonly interface: InterfaceSelector;
}

/** Up while the script exits with 0 within its time. */
export interface ScriptTrack extends PolledTrack {
  readonly kind: 'script';
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** Who runs it; undefined: an unprivileged user. */
  readonly user: string | undefined;
}

/** The number in the file times the weight is added to the priority; with weight 0 any number but 0 is a fault. */
export interface FileTrack extends TrackBase {
  readonly kind: 'file';
  readonly file: string;
  readonly intervalMs: number;
}

/** Up while at least `quorum` processes of this name run. */
export interface ProcessTrack extends PolledTrack {
  readonly kind: 'process';
  readonly process: string;
  readonly quorum: number;
}

/** Up while the routing table has exactly this destination. */
export interface RouteTrack extends PolledTrack {
  readonly kind: 'route';
  /** Canonical address and prefix length. */
  readonly destination: { readonly family: 4 | 6; readonly address: string; readonly prefixLength: number };
  readonly table: number;
}

export type TrackConfig = InterfaceTrack | ScriptTrack | FileTrack | ProcessTrack | RouteTrack;

export interface HooksConfig {
  readonly preAttach: readonly string[] | undefined;
  readonly postMaster: readonly string[] | undefined;
  readonly preRelease: readonly string[] | undefined;
  readonly postRelease: readonly string[] | undefined;
  /** After which a hook is killed, with all that it started. */
  readonly timeoutMs: number;
  /** Who runs them; undefined: an unprivileged user. */
  readonly user: string | undefined;
  /** What a failed or late `preAttach` does: nothing, or the takeover is given up. */
  readonly onFailure: 'continue' | 'abort';
}

interface VirtualRouterBase {
  readonly name: string;
  readonly interface: InterfaceSelector;
  /** VRID or VHID, 1 to 255. */
  readonly id: number;
  readonly preempt: { readonly enabled: boolean; readonly delayMs: number };
  /** No takeover for so long after the start. */
  readonly startDelayMs: number;
  /** At least one; in the order of the file, which is the order on the wire. */
  readonly addresses: readonly VirtualIp[];
  /** Added after the addresses, and removed before them. */
  readonly routes: readonly RouteConfig[];
  /** False: the addresses are forwarded for, but own no service on this host (RFC 9568 §6.1, Accept_Mode). */
  readonly accept: boolean;
  readonly arbitration: Arbitration;
  readonly onLogLoss: OnLogLoss;
  readonly onPathSplit: OnPathSplit;
  readonly unicast: UnicastConfig | undefined;
  /** The network namespace that holds the virtual IPs; undefined: the one koi runs in. */
  readonly namespace: NamespaceSelector | undefined;
  /** Names of entries of `track`. */
  readonly track: readonly string[];
  readonly syncGroup: string | undefined;
  readonly hooks: HooksConfig | undefined;
}

export interface VirtualIp extends VirtualAddress {
  /** Where it is put and announced, if not where the adverts are. */
  readonly interface?: InterfaceSelector;
  /** It brings the route to its network with it; else it is a single host's. */
  readonly prefixRoute?: true;
  /** No advert names it. */
  readonly advertised?: false;
}

export interface RouteConfig {
  readonly destination: VirtualAddress;
  readonly via: string | undefined;
  readonly source: string | undefined;
  readonly table: number | undefined;
  readonly metric: number | undefined;
}

/** Adverts to single peers in place of the group. */
export interface UnicastConfig {
  /** Undefined: the parent's first IPv4 address, its link-local IPv6 address. */
  readonly source: string | undefined;
  readonly peers: readonly string[];
  /** The lowest TTL or hop limit an advert may arrive with: 255 minus the routers on the way. */
  readonly minTtl: number;
}

export interface VrrpRouterConfig extends VirtualRouterBase {
  readonly protocol: 'vrrp2' | 'vrrp3';
  /** 1 to 254; 255 for the owner of the addresses. */
  readonly priority: number;
  /** Whole centiseconds for version 3, whole seconds for version 2. */
  readonly advertIntervalMs: number;
  /** Version 2 only: simple text, at most 8 bytes, read from the file. */
  readonly authentication: { readonly passwordFile: string } | undefined;
  /** Version 3 over IPv4: which form of checksum to send. */
  readonly checksum: 'auto' | 'rfc9568' | 'pseudo-header';
  readonly authHmac: AuthHmacConfig | undefined;
}

/** keepalived's signed trailer. */
export interface AuthHmacConfig {
  readonly keyFile: string;
  readonly keyId: number;
  /** `permissive` also takes adverts without a signature, `receive-only` takes them and sends none. */
  readonly mode: 'enforce' | 'permissive' | 'receive-only';
  readonly antiReplay: 'time' | 'monotonic';
}

export interface CarpRouterConfig extends VirtualRouterBase {
  readonly protocol: 'carp';
  readonly flavor: 'openbsd' | 'freebsd';
  readonly advbase: number;
  readonly advskew: number;
  readonly demotion: number;
  readonly passwordFile: string | undefined;
}

export type VirtualRouterConfig = VrrpRouterConfig | CarpRouterConfig;

/** A whole, checked configuration. Deeply frozen: a reload makes a new one. */
export interface KoiConfig {
  readonly cluster: string;
  readonly node: string;
  readonly log: LogConfig;
  readonly lease: { readonly ttlMs: number; readonly renewMs: number };
  readonly arbitrationTimeoutMs: number;
  readonly challengeTimeoutMs: number;
  readonly guard: { readonly timeoutMs: number };
  readonly realtime: {
    /** Undefined: the process stays as it was started, and only its thread that sends adverts comes first. */
    readonly priority: number | undefined;
    readonly lockMemory: boolean;
  };
  readonly lanKeyFile: string | undefined;
  readonly http: { readonly listen: ListenAddress };
  /** Path of the control socket. */
  readonly control: string;
  readonly stateDir: string;
  readonly track: readonly TrackConfig[];
  readonly virtualRouters: readonly VirtualRouterConfig[];
}
