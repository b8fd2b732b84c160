import { constants } from 'node:os';
import type { Command } from 'commander';
import { digestOf } from '../config/reread.js';
import { putAhead } from '../kernel/precedence.js';
import { demandNetworkCapabilities } from '../kernel/privileges.js';
import { beginDaemon } from './begin-daemon.js';
import { rereadAside } from './config-reader.js';
import { addDaemonOptions, askedToEnd, askedToReload, type DaemonOptions, endWith, isSupervised } from './daemon.js';
import { askedService } from './service.js';

export function define(command: Command): void {
  addDaemonOptions(command)
    .addHelpText(
      'after',
      `
The only process that touches the network: adverts, timers, addresses. Needs CAP_NET_ADMIN and CAP_NET_RAW, and runs on
when the agent is away. SIGTERM releases what it holds and leaves the kernel as it was; SIGHUP reads the configuration
again and applies what changed.

Example:
  koi dataplane -c /etc/koi/koi.yaml
`,
    )
    .action((options: DaemonOptions) =>
      endWith('dataplane', async () => {
        const { config, log } = beginDaemon('dataplane', options);
        demandNetworkCapabilities();
        // Adverts are due to the millisecond, whatever else the machine does.
        putAhead(process.pid, constants.priority.PRIORITY_HIGHEST);
        const service = await askedService();
        const asked = askedToEnd();
        const { Dataplane } = await import('../dataplane/dataplane.js');
        const dataplane = await Dataplane.start(config, log, {
          digest: digestOf(config),
          reread: (current) => rereadAside(options.config, current),
          service,
        });
        service?.ready();
        // Under `koi run` the agent asks for it.
        if (!isSupervised()) askedToReload(() => void dataplane.reload());
        const reason = await asked;
        service?.stopping();
        log.info({ reason }, 'stopping: releasing what this node holds');
        await dataplane.stop();
        log.info('stopped; the kernel is as it was before');
        await new Promise<void>((resolve) => log.flush(() => resolve()));
        return 0;
      }),
    );
}
