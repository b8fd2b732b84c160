import type { KoiConfig, VirtualRouterConfig } from './config.js';

/** One table for each configuration: a thousand virtual routers are asked for by name at each message of each of them. */
const tables = new WeakMap<KoiConfig['virtualRouters'], ReadonlyMap<string, VirtualRouterConfig>>();

/** A configuration's virtual router of this name. */
export function routerNamed({ virtualRouters }: KoiConfig, name: string): VirtualRouterConfig | undefined {
  const known = tables.get(virtualRouters) ?? new Map(virtualRouters.map((vr) => [vr.name, vr]));
  tables.set(virtualRouters, known);
  return known.get(name);
}
