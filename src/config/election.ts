import type { Election } from '../core/election-rules.js';
import type { VirtualRouterConfig } from './config.js';

/** How a configured virtual router takes part in the election. */
export function electionOf(config: VirtualRouterConfig): Election {
  if (config.protocol === 'carp') {
    const { protocol, flavor, advbase, advskew, demotion } = config;
    return { protocol, flavor, advbase, advskew, demotion };
  }
  const { protocol, priority, advertIntervalMs } = config;
  return { protocol, priority, advertIntervalMs };
}
