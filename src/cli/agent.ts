import { existsSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { rereadConfig } from '../config/reread.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { runWithoutCapabilities } from '../kernel/privileges.js';
import { beginDaemon } from './begin-daemon.js';
import { addDaemonOptions, askedToEnd, askedToReload, type DaemonOptions, type EndReason, endWith } from './daemon.js';
import { askedService } from './service.js';

export function define(command: Command): void {
  addDaemonOptions(command)
    .addHelpText(
      'after',
      `
Joins the event log, the dataplane and HTTP (metrics, health, status, the control socket). Gives up every capability at
its start. It can be stopped, upgraded and started again at any time: no address moves. SIGHUP does what koi reload does.

Example:
  koi agent -c /etc/koi/koi.yaml
`,
    )
    .action((options: DaemonOptions) =>
      endWith('agent', async () => {
        runWithoutCapabilities();
        const { config, log } = beginDaemon('agent', options);
        const service = await askedService();
        const asked = askedToEnd();
        const { Agent } = await import('../agent/agent.js');
        const agent = await Agent.start(config, log, {
          file: options.config,
          reread: (current) => rereadConfig(options.config, current),
          service,
        });
        service?.ready();
        askedToReload(() => void agent.reloadOnSignal());
        const reason = await asked;
        service?.stopping();
        log.info({ reason }, 'stopping');
        await outliveDataplane(dataplaneSocketPath(config.control), reason);
        await agent.stop();
        return 0;
      }),
    );
}

/** When the supervisor is gone, the dataplane is ending; otherwise it shows within this time whether it is. */
const lingerMs: Readonly<Record<EndReason, number>> = {
  'the end of koi run': 3000,
  SIGTERM: 300,
  SIGINT: 300,
  SIGHUP: 300,
};
const lookEveryMs = 10;

/** Who signals everything at once wants the log to hear what the dataplane released: the agent goes last. */
async function outliveDataplane(socket: string, reason: EndReason): Promise<void> {
  const deadlineMs = performance.now() + lingerMs[reason];
  while (existsSync(socket) && performance.now() < deadlineMs) await setTimeout(lookEveryMs);
  // One turn of the loop reads what the dataplane said last.
  await setImmediate();
}
