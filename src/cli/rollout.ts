import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { parseDurationMs } from '../config/duration.js';
import { KoiError } from '../koi-error.js';
import { ApiServer } from '../kubernetes/api-server.js';
import { askNode } from '../kubernetes/node-status.js';
import { rollOut } from '../kubernetes/rollout.js';

const timeoutMaxMs = 3_600_000;

interface Options {
  readonly daemonset: string;
  readonly namespace?: string;
  readonly port: string;
  readonly timeout: string;
  readonly server?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function define(command: Command): void {
  command
    .option('--daemonset <name>', "the dataplanes' DaemonSet", 'koi-dataplane')
    .option('--namespace <name>', 'where it is (default: where this pod is; with --server kube-system)')
    .option('--port <number>', "the port of the nodes' http.listen", '9650')
    .option('--timeout <duration>', 'stop where a node is not back after so long', '5m')
    .option('--server <url>', "the API server, where this is no pod: kubectl proxy's http://127.0.0.1:8001")
    .option('--dry-run', 'print the order and the moves expected, and replace nothing')
    .option('--json', 'print {pods, replaced, expectedMoves, tookMs} as JSON, once at the end')
    .addHelpText(
      'after',
      `
Replaces the pods of the dataplanes that are not of the newest revision, one node at a time: nodes that are master of
nothing first, the master of most last, as they say themselves before each step. The next pod is deleted when the last
one's successor is ready, for minReadySeconds of the DaemonSet, and Koi on that node says so, too. The chart's Job runs it
after helm upgrade and helm rollback.

Whoever is interrupted runs it again: it goes on where it stopped. It needs to list and delete pods, to list
controllerrevisions and to get the DaemonSet, whose updateStrategy has to be OnDelete, and to reach the nodes' HTTP.

Exits 0 when every pod is of the newest revision and well, 1 when a node is not back in time, 2 for a DaemonSet that is not
there or updates by itself, 3 when the API server does not allow it, 4 when it cannot be reached.

Examples:
  koi rollout
  kubectl proxy & koi rollout --server http://127.0.0.1:8001 --dry-run
`,
    )
    .action(async (options: Options) => {
      const { daemonset: daemonSet, namespace, server, dryRun = false } = options;
      const port = readPort(options.port);
      const nodeTimeoutMs = readTimeout(options.timeout);
      const cluster =
        server === undefined
          ? ApiServer.ofPod(process.env, namespace)
          : ApiServer.at(server, namespace ?? 'kube-system');
      const say = (line: string): void => {
        (options.json === true ? process.stderr : process.stdout).write(`${line}\n`);
      };
      for (const name of ['SIGTERM', 'SIGINT'] as const) {
        // The first process of a container has no default action for it.
        process.once(name, () => {
          say('interrupted: run it again, and it goes on where it stopped');
          process.exit(name === 'SIGINT' ? 130 : 143);
        });
      }
      const report = await rollOut(
        { cluster, askNode, say, pause, nowMs: () => performance.now(), wallNowMs: Date.now },
        { daemonSet, port, nodeTimeoutMs, dryRun },
      );
      if (options.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    });
}

function readPort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new KoiError('usage', `--port: '${text}' is no port`, { remedy: 'write the number that httpPort has' });
}

function readTimeout(text: string): number {
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs !== undefined && timeoutMs > 0 && timeoutMs <= timeoutMaxMs) return timeoutMs;
  throw new KoiError('usage', `--timeout: '${text}' is not possible`, { remedy: 'write 90s, 5m or at most 1h' });
}
