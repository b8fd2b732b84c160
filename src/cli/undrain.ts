import type { Command } from 'commander';
import type { DrainProgress } from '../agent/drain-desk.js';
import { ControlClient } from './control-client.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--json', 'print {drained, since, done, vrs} as JSON')
    .addHelpText(
      'after',
      `
Takes this node back into service after koi drain: it stands by again, and takes over by the usual rules. With preempt
the better placed node gets its virtual routers back by a handover, which loses nothing.

Examples:
  koi undrain
  koi undrain -c /etc/koi/koi.yaml
`,
    )
    .action(async (options: SocketOptions & { readonly json?: boolean }) => {
      const client = new ControlClient(socketPathOf(options));
      const progress = await client.post<DrainProgress>('/api/v1/undrain', {});
      process.stdout.write(options.json === true ? `${JSON.stringify(progress)}\n` : 'this node is in service\n');
    });
}
