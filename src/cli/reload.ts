import type { Command } from 'commander';
import { ControlClient } from './control-client.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';

/** Releases and hooks of virtual routers that have to begin anew take their time. */
const reloadTimeoutMs = 30_000;

/** What the daemon answers. */
interface Reloaded {
  readonly file: string;
  /** What is different now, a line each; empty where nothing is. */
  readonly changes: readonly string[];
  /** What could not be brought about although the file is right. */
  readonly warnings: readonly string[];
}

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--json', 'print {file, changes, warnings} as JSON')
    .addHelpText(
      'after',
      `
The daemon reads its configuration file again, checks all of it, and applies what changed, virtual router by virtual
router; the others miss no advert. SIGHUP to \`koi run\`, \`koi agent\` or \`koi dataplane\` does the same. Any error in the
file refuses the whole of it: everything is printed, nothing is changed, and the exit code is 2.

Priority, interval, preemption, tracks, hooks, sync group and addresses change without a virtual router leaving its
state. Another id, protocol or interface releases it and begins anew. What belongs to the node as a whole needs a restart.

Examples:
  koi reload -c /etc/koi/koi.yaml
  koi check -c /etc/koi/koi.yaml && koi reload -c /etc/koi/koi.yaml
`,
    )
    .action(async (options: SocketOptions & { readonly json?: boolean }) => {
      const client = new ControlClient(socketPathOf(options));
      const reloaded = await client.post<Reloaded>('/api/v1/reload', {}, reloadTimeoutMs);
      if (options.json === true) {
        process.stdout.write(`${JSON.stringify(reloaded, null, 2)}\n`);
        return;
      }
      for (const warning of reloaded.warnings) process.stderr.write(`warning: ${warning}\n`);
      const { file, changes } = reloaded;
      process.stdout.write(
        changes.length === 0 ? `${file}: nothing has changed\n` : changes.map((change) => `${change}\n`).join(''),
      );
    });
}
