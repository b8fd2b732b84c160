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

export interface InterfaceTrack {
  readonly kind: 'interface';
  readonly name: string;
  readonly interface: InterfaceSelector;
  readonly weight: number;
}

export interface ScriptTrack {
  readonly kind: 'script';
  readonly name: string;
  readonly command: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly fall: number;
  readonly rise: number;
  readonly weight: number;
}

export type TrackConfig = InterfaceTrack | ScriptTrack;

export interface HooksConfig {
  readonly preAttach: readonly string[] | undefined;
  readonly postMaster: readonly string[] | undefined;
  readonly preRelease: readonly string[] | undefined;
  readonly postRelease: readonly string[] | undefined;
  readonly timeoutMs: number;
}

interface VirtualRouterBase {
  readonly name: string;
  readonly interface: InterfaceSelector;
  /** VRID or VHID, 1 to 255. */
  readonly id: number;
  readonly preempt: { readonly enabled: boolean; readonly delayMs: number };
  /** At least one; in the order of the file, which is the order on the wire. */
  readonly addresses: readonly VirtualAddress[];
  readonly arbitration: Arbitration;
  readonly onLogLoss: OnLogLoss;
  readonly onPathSplit: OnPathSplit;
  readonly unicast: { readonly source: string | undefined; readonly peers: readonly string[] } | undefined;
  /** Name of the network namespace that holds the virtual IPs; undefined: the one koi runs in. */
  readonly namespace: string | undefined;
  /** Names of entries of `track`. */
  readonly track: readonly string[];
  readonly syncGroup: string | undefined;
  readonly hooks: HooksConfig | undefined;
}

export interface VrrpRouterConfig extends VirtualRouterBase {
  readonly protocol: 'vrrp2' | 'vrrp3';
  /** 1 to 254; 255 for the owner of the addresses. */
  readonly priority: number;
  /** Whole centiseconds for version 3, whole seconds for version 2. */
  readonly advertIntervalMs: number;
  /** Version 2 only: simple text, at most 8 bytes, read from the file. */
  readonly authentication: { readonly passwordFile: string } | undefined;
}

export interface CarpRouterConfig extends VirtualRouterBase {
  readonly protocol: 'carp';
  readonly advbase: number;
  readonly advskew: number;
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
  readonly lanKeyFile: string | undefined;
  readonly http: { readonly listen: ListenAddress };
  /** Path of the control socket. */
  readonly control: string;
  readonly stateDir: string;
  readonly track: readonly TrackConfig[];
  readonly virtualRouters: readonly VirtualRouterConfig[];
}
