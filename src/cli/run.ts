import { existsSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import { runLock, runLockDeadlineMs } from '../attach/interface-locks.js';
import type { KoiConfig } from '../config/config.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { isAnswered } from '../ipc/socket-path.js';
import { LockSequence } from '../kernel/lock.js';
import { demandNetworkCapabilities } from '../kernel/privileges.js';
import { KoiError } from '../koi-error.js';
import { removeEverything } from './clean.js';
import { addDaemonOptions, askedToEnd, askedToReload, beginDaemon, type DaemonOptions, endWith } from './daemon.js';
import { askedService, beginService } from './service.js';
import { Supervised } from './supervisor.js';

const lookEveryMs = 50;

export function define(command: Command): void {
  addDaemonOptions(command)
    .addHelpText(
      'after',
      `
Runs agent, dataplane and guard together, and the nats-server of log.embedded, in the foreground, and starts again what
ends by itself. SIGTERM releases what this node holds, leaves the kernel as it was found, and exits 0. SIGHUP does what
koi reload does.

Examples:
  koi run -c /etc/koi/koi.yaml
  koi run -c koi.yaml --log-level debug
`,
    )
    .action((options: DaemonOptions) =>
      endWith('run', async () => {
        const { config, log } = beginDaemon('run', options);
        demandNetworkCapabilities();
        // Before anything is started: the children must not speak in this process's name.
        const service = await askedService();
        const asked = askedToEnd();
        await refuseSecond(config);
        const mayRun = await Promise.race([asked.then(() => false), othersEnded(config.cluster)]);
        if (!mayRun) return 0;
        let giveUp: (code: number) => void = () => undefined;
        const hopeless = new Promise<number>((resolve) => {
          giveUp = resolve;
        });
        const main = process.argv[1] ?? fileURLToPath(new URL('./main.js', import.meta.url));
        const passed = [
          '-c',
          options.config,
          ...(options.logLevel === undefined ? [] : ['--log-level', options.logLevel]),
        ];
        const start = (role: 'agent' | 'dataplane' | 'log-server'): Supervised =>
          new Supervised({ role, arguments: [main, role, ...passed], log, onHopeless: giveUp });
        // First, since it takes longest; a process of its own beside the agent, so that neither takes the other down.
        const logServer = config.log.embedded === undefined ? undefined : start('log-server');
        const dataplane = start('dataplane');
        const agent = start('agent');
        askedToReload(() => agent.signal('SIGHUP'));
        if (service !== undefined) void bothAnswer(config.control).then(() => beginService(service));

        const code = await Promise.race([asked.then(() => 0), hopeless]);
        service?.stopping();
        // The dataplane first: the agent still has to tell the log what was released.
        agent.retire();
        logServer?.retire();
        if (!(await dataplane.stop())) await cleanUpAfterDataplane(config, log);
        await agent.stop();
        // The log's server last: until here there was something to append.
        await logServer?.stop();
        return code;
      }),
    );
}

/** Whoever waits for this to be ready has a deadline of its own. */
async function bothAnswer(control: string): Promise<void> {
  for (const path of [dataplaneSocketPath(control), control]) {
    while (!existsSync(path) || !(await isAnswered(path))) await pause(lookEveryMs);
  }
}

/** A dataplane that died, and was not started again, has left in the kernel what its guard leaves. */
async function cleanUpAfterDataplane(config: KoiConfig, log: Logger): Promise<void> {
  const socket = dataplaneSocketPath(config.control);
  // Then it is another dataplane's socket, and its links.
  if (await isAnswered(socket)) return;
  const removed = await removeEverything(config);
  rmSync(socket, { force: true });
  if (Object.values(removed).some((items) => items.length > 0)) {
    log.warn(removed, 'the dataplane did not end in order; cleaned up after it');
  }
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
