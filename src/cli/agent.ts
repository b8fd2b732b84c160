import type { Command } from 'commander';
import { runWithoutCapabilities } from '../kernel/privileges.js';
import { addDaemonOptions, askedToEnd, beginDaemon, type DaemonOptions } from './daemon.js';

export function define(command: Command): void {
  addDaemonOptions(command)
    .addHelpText(
      'after',
      `
Joins the event log, the dataplane and HTTP (metrics, health, status, the control socket). Gives up every capability at
its start. It can be stopped, upgraded and started again at any time: no address moves.

Example:
  koi agent -c /etc/koi/koi.yaml
`,
    )
    .action(async (options: DaemonOptions) => {
      runWithoutCapabilities();
      const { config, log } = beginDaemon('agent', options);
      const asked = askedToEnd();
      const { Agent } = await import('../agent/agent.js');
      const agent = await Agent.start(config, log);
      log.info({ reason: await asked }, 'stopping');
      await agent.stop();
      process.exit(0);
    });
}
