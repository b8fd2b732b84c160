import type { Logger } from 'pino';
import type { KoiConfig } from '../config/config.js';
import { readHostView } from '../config/host-view.js';
import { loadConfig } from '../config/load.js';
import { createLogger, readLogLevel } from '../observe/logger.js';
import { compileLater } from './compile-later.js';
import type { DaemonOptions, DaemonRole } from './daemon.js';
import { savedRoutersMost, saveMemory } from './save-memory.js';

/** What every daemon process begins with: its name in the process list, its logger, its configuration. */
export function beginDaemon(
  role: Exclude<DaemonRole, 'run' | 'witness'>,
  options: DaemonOptions,
): { readonly config: KoiConfig; readonly log: Logger } {
  process.title = `koi ${role}`;
  if (role === 'dataplane' || role === 'agent') compileLater();
  // From the beginning: what reading the configuration leaves behind is the most of all.
  saveMemory(true);
  // Where an interface is touched, what the interfaces of this host make impossible is refused.
  const { config } = loadConfig(options.config, role === 'dataplane' ? { host: readHostView() } : {});
  if (config.virtualRouters.length > savedRoutersMost) saveMemory(false);
  const level = readLogLevel(options.logLevel);
  const log = createLogger({ process: role, level, buffered: role === 'dataplane' }).child({ node: config.node });
  return { config, log };
}
