import { existsSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import { isAnswered } from '../ipc/socket-path.js';
import { createLogger, readLogLevel } from '../observe/logger.js';
import { addDaemonOptions, askedToEnd, askedToReload, type DaemonOptions, endWith } from './daemon.js';
import { inspectRun } from './run-inspection.js';
import type { RunPlan } from './run-inspection-main.js';
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
        process.title = 'koi run';
        const level = readLogLevel(options.logLevel);
        // Before anything is started: the children must not speak in this process's name.
        const service = await askedService();
        const asked = askedToEnd();
        const inspected = await inspectRun(options, asked);
        if (!('plan' in inspected)) return inspected.exitCode;
        const { plan } = inspected;
        const log = createLogger({ process: 'run', level }).child({ node: plan.node });
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
        const logServer = plan.hasLogServer ? start('log-server') : undefined;
        const dataplane = start('dataplane');
        const agent = start('agent');
        askedToReload(() => agent.signal('SIGHUP'));
        if (service !== undefined) void bothAnswer(plan).then(() => beginService(service));

        const code = await Promise.race([asked.then(() => 0), hopeless]);
        service?.stopping();
        // The dataplane first: the agent still has to tell the log what was released.
        agent.retire();
        logServer?.retire();
        if (!(await dataplane.stop())) await cleanUpAfterDataplane(plan, log);
        await agent.stop();
        // The log's server last: until here there was something to append.
        await logServer?.stop();
        return code;
      }),
    );
}

/** Whoever waits for this to be ready has a deadline of its own. */
async function bothAnswer({ dataplaneSocket, control }: RunPlan): Promise<void> {
  for (const path of [dataplaneSocket, control]) {
    while (!existsSync(path) || !(await isAnswered(path))) await pause(lookEveryMs);
  }
}

/** A dataplane that died, and was not started again, has left in the kernel what its guard leaves. */
async function cleanUpAfterDataplane({ dataplaneSocket, footprint }: RunPlan, log: Logger): Promise<void> {
  // Then it is another dataplane's socket, and its links.
  if (await isAnswered(dataplaneSocket)) return;
  const { removeEverything } = await import('./clean.js');
  const removed = await removeEverything(footprint);
  rmSync(dataplaneSocket, { force: true });
  if (Object.values(removed).some((items) => items.length > 0)) {
    log.warn(removed, 'the dataplane did not end in order; cleaned up after it');
  }
}
