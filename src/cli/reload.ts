import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { parseDurationMs } from '../config/duration.js';
import { KoiError } from '../koi-error.js';
import type { Status } from '../observe/status.js';
import { ControlClient } from './control-client.js';
import { addSocketOptions, type SocketOptions, socketPathOf } from './socket-option.js';

/** Releases and hooks of virtual routers that have to begin anew take their time. */
const reloadTimeoutMs = 30_000;
const lookEveryMs = 50;
const waitDefault = '10s';

/** What the daemon answers. */
interface Reloaded {
  readonly file: string;
  /** What is different now, a line each; empty where nothing is. */
  readonly changes: readonly string[];
  /** What could not be brought about although the file is right. */
  readonly warnings: readonly string[];
  /** Virtual routers whose change waits until the other nodes have the same. */
  readonly waiting: readonly string[];
  /** What the nodes have in common and was changed here at once, and why. */
  readonly remarks: readonly string[];
}

interface ReloadOptions extends SocketOptions {
  readonly json?: boolean;
  readonly force?: boolean;
  readonly timeout: string;
}

export function define(command: Command): void {
  addSocketOptions(command)
    .option('--force', 'change here at once what the other nodes have in common with this one')
    .option('--timeout <duration>', 'how long to wait for the other nodes', waitDefault)
    .option('--json', 'print {file, changes, warnings, waiting, remarks} as JSON')
    .addHelpText(
      'after',
      `
The daemon reads its configuration file again, checks all of it, and applies what changed, virtual router by virtual
router; the others miss no advert. SIGHUP to \`koi run\`, \`koi agent\` or \`koi dataplane\` does the same. Any error in the
file refuses the whole of it: everything is printed, nothing is changed, and the exit code is 2.

Priority, interval, preemption, tracks, hooks, sync group and addresses change without a virtual router leaving its
state. Another id, protocol or interface releases it and begins anew. What belongs to the node as a whole needs a restart.

Addresses, id, protocol and key are what all nodes of a virtual router must have in common. Such a change waits until
the other nodes that run it have been reloaded with the same file, then all switch together: this command says whom it
waits for, and exits 1 if they have not followed within --timeout. The change stays prepared. See
docs/configuration-changes.md.

Examples:
  koi reload -c /etc/koi/koi.yaml
  koi reload -c /etc/koi/koi.yaml --timeout 5m
  koi check -c /etc/koi/koi.yaml && koi reload -c /etc/koi/koi.yaml
`,
    )
    .action(async (options: ReloadOptions) => {
      const timeoutMs = readDuration(options.timeout);
      const client = new ControlClient(socketPathOf(options));
      const force = options.force === true;
      const reloaded = await client.post<Reloaded>('/api/v1/reload', { force }, reloadTimeoutMs);
      if (options.json !== true) tell(reloaded);
      const waiting = await untilSwitched(client, reloaded.waiting, timeoutMs, options.json !== true);
      if (options.json === true) process.stdout.write(`${JSON.stringify({ ...reloaded, waiting }, null, 2)}\n`);
      if (waiting.length > 0) process.exitCode = 1;
    });
}

function readDuration(text: string): number {
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs === undefined)
    throw new KoiError('usage', `--timeout: '${text}' is no duration`, { remedy: 'write 10s' });
  return timeoutMs;
}

function tell({ file, changes, warnings, waiting, remarks }: Reloaded): void {
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (changes.length > 0) process.stdout.write(changes.map((change) => `${change}\n`).join(''));
  for (const remark of remarks) process.stdout.write(`${remark}\n`);
  if (changes.length === 0 && waiting.length === 0) process.stdout.write(`${file}: nothing has changed\n`);
}

/** Follows what waits for the other nodes; returns what still does at the deadline. */
async function untilSwitched(
  client: ControlClient,
  asked: readonly string[],
  timeoutMs: number,
  talks: boolean,
): Promise<readonly string[]> {
  const deadlineMs = performance.now() + timeoutMs;
  const said = new Map<string, string>();
  let waiting = asked;
  while (waiting.length > 0) {
    const { vrs } = await client.get<Status>('/api/v1/status');
    for (const name of waiting) {
      const configuration = vrs.find((vr) => vr.name === name)?.configuration;
      const who = configuration?.waitingFor.join(', ') || 'the log';
      const line =
        configuration?.prepared == null
          ? `${name}: in force on all nodes, version ${configuration?.version ?? 0}`
          : `${name}: waiting for ${who} to have the same configuration`;
      if (talks && said.get(name) !== line) process.stdout.write(`${line}\n`);
      said.set(name, line);
    }
    waiting = waiting.filter((name) => vrs.find((vr) => vr.name === name)?.configuration?.prepared != null);
    if (performance.now() >= deadlineMs) break;
    if (waiting.length > 0) await setTimeout(lookEveryMs);
  }
  if (waiting.length > 0 && talks) {
    process.stderr.write(
      `koi: ${waiting.join(', ')}: the change is prepared and not in force\n  → reload the other nodes with the same file; \`koi reload --force\` changes this one alone\n`,
    );
  }
  return waiting;
}
