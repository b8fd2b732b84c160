import type { CommandEntry } from './command.js';

/** Every subcommand, in the order of `koi --help`. A new one is a module with `define` and a line here. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'check',
    summary: 'check a configuration file; prints every error at once',
    load: () => import('./check.js'),
  },
  { name: 'schema', summary: 'print the JSON Schema of the configuration', load: () => import('./schema.js') },
  {
    name: 'status',
    summary: 'show virtual routers, nodes and the log, as the local daemon sees them',
    load: () => import('./status.js'),
  },
  {
    name: 'timeline',
    summary: 'show the events of the log in order, with their causes',
    load: () => import('./timeline.js'),
  },
];
