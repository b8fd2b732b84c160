import { existsSync, writeFileSync } from 'node:fs';
import { runLock, runLockDeadlineMs } from '../attach/interface-locks.js';
import type { KoiConfig } from '../config/config.js';
import { readHostView } from '../config/host-view.js';
import { loadConfig } from '../config/load.js';
import { formatProblem, gatherAlike } from '../config/problem.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { isAnswered } from '../ipc/socket-path.js';
import { LockSequence } from '../kernel/lock.js';
import { demandNetworkCapabilities } from '../kernel/privileges.js';
import { KoiError } from '../koi-error.js';
import { createLogger, readLogLevel } from '../observe/logger.js';
import { type Footprint, footprintOf } from './clean.js';
import type { DaemonOptions } from './daemon.js';
import { reportError } from './report-error.js';

/** Whatever is loaded into every Node process of this environment may write to standard output. */
const answerFd = 3;

/** What `koi run` has to know of the configuration. */
export interface RunPlan {
  readonly node: string;
  readonly control: string;
  readonly dataplaneSocket: string;
  readonly hasLogServer: boolean;
  /** What a dataplane that did not end in order may have left. */
  readonly footprint: Footprint;
}

async function inspect(options: DaemonOptions): Promise<RunPlan> {
  const { config, warnings } = loadConfig(options.config, { host: readHostView(), files: true });
  const log = createLogger({ process: 'run', level: readLogLevel(options.logLevel) }).child({ node: config.node });
  for (const warning of gatherAlike(warnings))
    log.warn({ remedy: warning.remedy }, formatProblem(options.config, warning));
  demandNetworkCapabilities();
  await refuseSecond(config);
  await othersEnded(config.cluster);
  return {
    node: config.node,
    control: config.control,
    dataplaneSocket: dataplaneSocketPath(config.control),
    hasLogServer: config.log.embedded !== undefined,
    footprint: footprintOf(config),
  };
}

/** Each of the two would refuse by itself; here it is said once, before anything is started. */
async function refuseSecond({ control, cluster }: KoiConfig): Promise<void> {
  for (const path of [dataplaneSocketPath(control), control]) {
    if (!existsSync(path) || !(await isAnswered(path))) continue;
    const holder = await othersEnded(cluster, 0).catch((error: unknown) => `; ${(error as Error).message}`);
    const whose = typeof holder === 'string' ? holder : '';
    throw new KoiError('config', `control: koi is running already: ${path} is answered${whose}`, {
      remedy: 'stop it first, or give this one a control socket and a stateDir of its own',
    });
  }
}

/**
 * Another Koi of this cluster in this network namespace may be about to end. The dataplane has the lock itself, as long as
 * it runs; here it is looked whether it could, before an agent speaks in the name of a node that another one is.
 * @throws KoiError `config` naming the process that has it, after so long
 */
async function othersEnded(cluster: string, deadlineMs = runLockDeadlineMs): Promise<true> {
  const locks = new LockSequence();
  try {
    await locks.acquire(runLock(cluster), deadlineMs);
    return true;
  } catch (error) {
    if (!(error instanceof KoiError) || error.code !== 'timeout') throw error;
    throw new KoiError('config', `cluster ${cluster} is run in this network namespace already: ${error.message}`, {
      remedy: 'stop it first, or give this one another cluster',
      cause: error,
    });
  } finally {
    locks.end();
  }
}

process.title = 'koi reader';
try {
  writeFileSync(answerFd, JSON.stringify(await inspect(JSON.parse(process.argv[2] ?? '{}') as DaemonOptions)));
} catch (error) {
  process.exitCode = reportError(error, 'run');
}
