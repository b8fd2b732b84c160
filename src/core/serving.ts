import type { Vr } from './vr-state.js';

/** What a challenged holder finds out about itself. */
export type ServingReport = 'serves' | 'lan_down' | 'not_serving';

/** An address that is not on yet, or not any more, serves nobody. */
export function servingReport({ phase }: Vr, attached: boolean, lanWorks: boolean): ServingReport {
  const holds = phase.name === 'master' || phase.name === 'handing';
  if (!holds || !attached) return 'not_serving';
  return lanWorks ? 'serves' : 'lan_down';
}
