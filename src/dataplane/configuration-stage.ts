import { createHash } from 'node:crypto';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { describeDiff, type RouterChange } from '../config/diff.js';
import { digestOf, type Reread } from '../config/reread.js';
import {
  hasSharedKey,
  holdBack,
  keyFingerprint,
  readSharedKey,
  sharedConfiguration,
} from '../config/shared-configuration.js';
import type { SharedConfiguration } from '../core/config-version.js';
import { KoiError } from '../koi-error.js';
import type { ProtocolAdapter } from './protocol-adapter.js';

/** One virtual router as it could run at once: its secrets are read, and nothing is left that could fail to be read. */
export interface PreparedRouter {
  readonly config: VirtualRouterConfig;
  readonly adapter: ProtocolAdapter;
  /** What all of its nodes must have in common. */
  readonly shared: SharedConfiguration;
}

/** A virtual router that others run as well: what it has in common with them may become one of these and nothing else. */
export interface Guarded {
  readonly vr: string;
  readonly digests: readonly string[];
}

/** What a reload does now, and what it leaves for later. */
export interface ReloadPlan {
  readonly read: Reread;
  /** Of all that changes now. */
  readonly routers: ReadonlyMap<string, PreparedRouter>;
  /** Waits until the others want the same. */
  readonly waiting: readonly PreparedRouter[];
}

const fingerprintsMax = 4096;
const keyReadsMax = 3;

/** Prepares configurations of virtual routers, and keeps those that wait for the other nodes. */
export class ConfigurationStage {
  readonly #cluster: string;
  readonly #adapterOf: (config: VirtualRouterConfig) => ProtocolAdapter;
  readonly #fingerprints = new Map<string, Promise<string>>();
  #waiting = new Map<string, PreparedRouter>();

  constructor(cluster: string, adapterOf: (config: VirtualRouterConfig) => ProtocolAdapter) {
    this.#cluster = cluster;
    this.#adapterOf = adapterOf;
  }

  /** What waits for the other nodes. */
  waiting(vr: string): PreparedRouter | undefined {
    return this.#waiting.get(vr);
  }

  /** @throws KoiError where a secret cannot be read, or is being written all the time */
  async prepare(config: VirtualRouterConfig): Promise<PreparedRouter> {
    for (let reads = 0; reads < keyReadsMax; reads += 1) {
      const key = readSharedKey(config);
      const adapter = this.#adapterOf(config);
      // The adapter has read the same file: if it changed in between, whose key is it?
      const again = readSharedKey(config);
      if (text(key) !== text(again)) continue;
      const shared = sharedConfiguration(config, key === undefined ? '' : await this.#fingerprint(key));
      return { config, adapter, shared };
    }
    throw new KoiError('config', `${config.name}: its key changes while it is read`, { remedy: 'try again' });
  }

  async prepareAll(configs: readonly VirtualRouterConfig[]): Promise<ReadonlyMap<string, PreparedRouter>> {
    const preparing: Promise<PreparedRouter>[] = [];
    for (const config of configs) {
      const one = this.prepare(config);
      // Whoever awaits them all hears of it; until then nobody does.
      one.catch(() => undefined);
      preparing.push(one);
      // Files are read in between: an advert must not wait for all of them.
      await new Promise((resolve) => setImmediate(resolve));
    }
    const all = await Promise.all(preparing);
    return new Map(all.map((prepared) => [prepared.config.name, prepared]));
  }

  /**
   * What of a file that was read again can be applied now. A key that changed in its file is a change, although the
   * configuration says the same.
   *
   * @param running what each virtual router has in common with its peers now
   * @param guarded those that others run as well; undefined: nobody has said, and nothing waits
   */
  async plan(
    read: Reread,
    current: KoiConfig,
    running: (vr: string) => SharedConfiguration | undefined,
    guarded: readonly Guarded[] | undefined,
  ): Promise<ReloadPlan> {
    const changed = new Map(read.diff.routers.map((change) => [change.name, change]));
    const concerned = read.config.virtualRouters.filter((router) => changed.has(router.name) || hasSharedKey(router));
    const prepared = await this.prepareAll(concerned);
    const waiting: PreparedRouter[] = [];
    const routers = new Map<string, PreparedRouter>();
    const keyChanges: RouterChange[] = [];
    for (const one of prepared.values()) {
      const { name } = one.config;
      const before = running(name);
      const isSame = before === undefined || before.digest === one.shared.digest;
      const bound = guarded?.find(({ vr }) => vr === name);
      if (!isSame && bound !== undefined && !bound.digests.includes(one.shared.digest)) waiting.push(one);
      else if (changed.has(name)) routers.set(name, one);
      else if (!isSame) {
        routers.set(name, one);
        keyChanges.push(keyChanged(name));
      }
    }
    const names = waiting.map(({ config }) => config.name);
    if (names.length + keyChanges.length === 0) return { read, routers, waiting };
    const config = holdBack(read.config, current, names);
    const kept = read.diff.routers.filter(({ name }) => !names.includes(name));
    const diff = { ...read.diff, routers: [...kept, ...keyChanges] };
    return { read: { config, diff, changes: describeDiff(diff), digest: digestOf(config) }, routers, waiting };
  }

  /** From here these wait, and nothing else does. */
  keep(waiting: readonly PreparedRouter[]): void {
    this.#waiting = new Map(waiting.map((prepared) => [prepared.config.name, prepared]));
  }

  /** What to apply now that others want the same: undefined where something else waits here. */
  release(
    vr: string,
    digest: string,
    current: KoiConfig,
    diffOf: (before: KoiConfig, after: KoiConfig) => Reread['diff'],
  ): ReloadPlan | undefined {
    const found = this.#waiting.get(vr);
    const before = current.virtualRouters.find(({ name }) => name === vr);
    if (found === undefined || before === undefined || found.shared.digest !== digest) return undefined;
    const virtualRouters = current.virtualRouters.map((router) => (router.name === vr ? found.config : router));
    const config = { ...current, virtualRouters };
    const only = (router: VirtualRouterConfig): KoiConfig => ({ ...current, virtualRouters: [router] });
    const plain = diffOf(only(before), only(found.config));
    const diff = plain.routers.length > 0 ? plain : { ...plain, routers: [keyChanged(vr)] };
    const read = { config, diff, changes: describeDiff(diff), digest: digestOf(config) };
    return {
      read,
      routers: new Map([[vr, found]]),
      waiting: [...this.#waiting.values()].filter((one) => one !== found),
    };
  }

  /** The same key is hashed once, whoever uses it. */
  #fingerprint(key: Uint8Array): Promise<string> {
    const name = createHash('sha256').update(key).digest('hex');
    const known = this.#fingerprints.get(name);
    if (known !== undefined) return known;
    if (this.#fingerprints.size >= fingerprintsMax) this.#fingerprints.clear();
    const made = keyFingerprint(this.#cluster, key);
    this.#fingerprints.set(name, made);
    return made;
  }
}

const text = (key: Uint8Array | undefined): string => (key === undefined ? '' : Buffer.from(key).toString('hex'));

const keyChanged = (name: string): RouterChange => ({
  kind: 'changed',
  name,
  fields: [{ field: 'key', from: 'the one before', to: 'another' }],
  restarts: false,
});
