import type { Command } from 'commander';
import { demandNetworkCapabilities } from '../kernel/privileges.js';
import { addDaemonOptions, askedToEnd, beginDaemon, type DaemonOptions, endWith } from './daemon.js';

export function define(command: Command): void {
  addDaemonOptions(command)
    .addHelpText(
      'after',
      `
The only process that touches the network: adverts, timers, addresses. Needs CAP_NET_ADMIN and CAP_NET_RAW, and runs on
when the agent is away. SIGTERM releases what it holds and leaves the kernel as it was.

Example:
  koi dataplane -c /etc/koi/koi.yaml
`,
    )
    .action((options: DaemonOptions) =>
      endWith('dataplane', async () => {
        const { config, log } = beginDaemon('dataplane', options);
        demandNetworkCapabilities();
        const asked = askedToEnd();
        const { Dataplane } = await import('../dataplane/dataplane.js');
        const dataplane = await Dataplane.start(config, log);
        log.info({ reason: await asked }, 'stopping: releasing what this node holds');
        await dataplane.stop();
        log.info('stopped; the kernel is as it was before');
        await new Promise<void>((resolve) => log.flush(() => resolve()));
        return 0;
      }),
    );
}
