import type { LogConfig } from '../config/config.js';
import { reachableHost } from '../log/nats-server/settings.js';

/** Where to find the log, in the order to try: this node's own server first. */
export function logServers({ servers, embedded }: LogConfig): readonly string[] {
  if (embedded === undefined) return servers;
  const { host, port } = embedded.listen;
  const reachable = reachableHost(host);
  const own = `nats://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
  return [own, ...servers.filter((server) => server !== own)];
}
