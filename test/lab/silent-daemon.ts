import type { Daemon } from './daemon.js';

/** A daemon that Koi is compared with tells nothing but what its processes and the kernel show. */
export const tellsNothing: Pick<Daemon, 'view' | 'command' | 'metric' | 'timeline' | 'printTimeline'> = {
  view: async () => undefined,
  command: async () => ({ code: 1, said: 'it has no commands' }),
  metric: async () => 0,
  timeline: async () => undefined,
  printTimeline: () => undefined,
};
