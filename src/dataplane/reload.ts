import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import type { Reread } from '../config/reread.js';

/** What a reload needs of the dataplane. */
export interface ReloadTarget {
  /** @throws KoiError where a virtual router cannot be built of it: nothing has been changed then. */
  check(config: VirtualRouterConfig): void;
  /** Releases virtual routers and takes their links away; resolves when they are gone. */
  retire(names: readonly string[]): Promise<void>;
  /** From here the new configuration is in force: tracks, addresses that may be bound, settings of the node. */
  adopt(config: KoiConfig): void;
  /** Changes a virtual router without leaving its state; returns what could not be brought about. */
  reconfigure(config: VirtualRouterConfig): Promise<string | undefined>;
  add(config: VirtualRouterConfig): void;
  /** All is done: what depends on all virtual routers together. */
  settle(): void;
}

/**
 * Applies a configuration, virtual router by virtual router, and gives the loop back after each: those that did not
 * change are not touched, and miss no advert. An address that moves between two virtual routers leaves the one before it
 * comes to the other.
 *
 * @returns what could not be brought about, for people
 * @throws KoiError where it cannot be applied at all; then nothing has changed
 */
export async function applyReload(
  { config, diff }: Reread,
  before: KoiConfig,
  target: ReloadTarget,
): Promise<string[]> {
  const wanted = new Map(config.virtualRouters.map((router) => [router.name, router]));
  const known = new Map(before.virtualRouters.map((router) => [router.name, router]));
  const gone: string[] = [];
  const changed: VirtualRouterConfig[] = [];
  const added: VirtualRouterConfig[] = [];
  for (const change of diff.routers) {
    const router = wanted.get(change.name);
    const restarts = change.kind === 'changed' && change.restarts;
    if (change.kind === 'removed' || restarts) gone.push(change.name);
    if (router === undefined) continue;
    if (change.kind === 'added' || restarts) added.push(router);
    else changed.push(router);
  }
  for (const router of [...changed, ...added]) target.check(router);

  const warnings: string[] = [];
  const turn = async (router: VirtualRouterConfig): Promise<void> => {
    const warning = await target.reconfigure(router);
    if (warning !== undefined) warnings.push(`${router.name}: ${warning}`);
    await new Promise((resolve) => setImmediate(resolve));
  };
  await target.retire(gone);
  for (const router of changed) {
    const old = known.get(router.name);
    const staying = router.addresses.filter(({ address }) => old?.addresses.some((each) => each.address === address));
    if (old === undefined || staying.length === old.addresses.length || staying.length === 0) continue;
    await turn({ ...old, addresses: staying });
  }
  target.adopt(config);
  for (const router of changed) await turn(router);
  for (const router of added) target.add(router);
  target.settle();
  return warnings;
}
