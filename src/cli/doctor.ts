import type { Command } from 'commander';
import { logServers } from '../agent/log-servers.js';
import type { KoiConfig } from '../config/config.js';
import { defaultControlPath } from '../config/control-path.js';
import { checkHost } from '../config/host-checks.js';
import { readHostView } from '../config/host-view.js';
import { loadConfig } from '../config/load.js';
import { readHostFacts, readNetworkFacts } from '../doctor/facts.js';
import { judgeHost } from '../doctor/host.js';
import { judgeLog } from '../doctor/log.js';
import { judgeNetwork } from '../doctor/network.js';
import type { DoctorVerdict } from '../doctor/verdict.js';
import { KoiError } from '../koi-error.js';
import { probeServer } from '../log/nats-server/probe.js';
import type { DoctorAnswer } from '../observe/lan-check.js';
import type { Status } from '../observe/status.js';
import { ControlClient } from './control-client.js';
import { type Paint, paint } from './paint.js';

const serverDeadlineMs = 2000;
const defaultPort = 4222;

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

interface Daemon {
  readonly status: Status;
  readonly answer: DoctorAnswer | undefined;
}

export function define(command: Command): void {
  command
    .option('-c, --config <file>', 'the configuration file (default: that of the running daemon)')
    .option('--json', 'print {ok, verdicts} as JSON')
    .addHelpText(
      'after',
      `
Looks at the host (capabilities, sysctls, IPVS, clock), the network (interfaces, other managers, what this host's addresses
are in the way of, whether the switches pass the virtual MAC, for which the other nodes are asked through the log) and the
log (versions, quorum, connection). Changes nothing. What takes a running daemon is left out without one.

Exits 0 when nothing failed (warnings included), 1 when something did, 2 for a wrong configuration, 4 when no file is named
and no daemon answers.

Examples:
  koi doctor -c /etc/koi/koi.yaml
  koi doctor --json | jq -r '.verdicts[] | select(.status != "ok") | [.check, .detail, .remedy] | @tsv'
`,
    )
    .action(async (options: Options) => {
      const verdicts = await examine(options.config);
      const ok = verdicts.every(({ status }) => status !== 'failed');
      process.stdout.write(
        options.json === true
          ? `${JSON.stringify({ ok, verdicts }, null, 2)}\n`
          : formatVerdicts(verdicts, paint(process.stdout)),
      );
      if (!ok) process.exitCode = 1;
    });
}

async function examine(file: string | undefined): Promise<DoctorVerdict[]> {
  const startedMs = { wall: Date.now(), monotonic: performance.now() };
  const known = file === undefined ? undefined : loadConfig(file).config;
  const daemon = await askDaemon(known?.control ?? defaultControlPath, known !== undefined);
  const config = known ?? loadConfig(daemon?.status.configFile ?? '').config;
  const servers = await Promise.all(logServers(config.log).map(askServer));
  const driftMs = Date.now() - startedMs.wall - (performance.now() - startedMs.monotonic);
  const { errors, warnings } = checkHost(config.virtualRouters, readHostView());
  const problems = [
    ...errors.map(({ message, remedy }) => ({ isError: true, message, remedy })),
    ...warnings.map(({ message, remedy }) => ({ isError: false, message, remedy })),
  ];
  const running = daemon?.status.dataplane.up === true;
  return [
    ...judgeHost(readHostFacts(config, { running, clock: { driftMs, jumps: daemon?.answer?.clock } })),
    ...judgeNetwork(readNetworkFacts(config, { problems, heard: daemon?.answer?.heard })),
    ...judgeLog({ servers, replicas: replicasOf(config), daemon: daemon && logOf(daemon.status) }),
  ];
}

const replicasOf = ({ log }: KoiConfig): number => log.replicas;

const logOf = ({ log, warnings }: Status) => ({ connected: log.connected, server: log.server, warnings });

/** @param mayBeAway the file was named: then what the daemon knows is left out where none answers */
async function askDaemon(socket: string, mayBeAway: boolean): Promise<Daemon | undefined> {
  const client = new ControlClient(socket);
  try {
    const status = await client.get<Status>('/api/v1/status');
    const answer = await client.post<DoctorAnswer>('/api/v1/doctor', {}).catch(() => undefined);
    return { status, answer };
  } catch (error) {
    if (mayBeAway && error instanceof KoiError) return undefined;
    throw error;
  }
}

async function askServer(url: string): Promise<{ readonly url: string; readonly version: string | undefined }> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const info = await probeServer({ host, port: port === '' ? defaultPort : Number(port) }, serverDeadlineMs);
  return { url: `${hostname}:${port === '' ? defaultPort : port}`, version: info?.version };
}

const marks = { ok: 'ok', warning: 'warning', failed: 'FAILED', unknown: 'unknown' } as const;

export function formatVerdicts(verdicts: readonly DoctorVerdict[], colours: Paint): string {
  const shade = { ok: colours.green, warning: colours.yellow, failed: colours.red, unknown: colours.dim };
  const lines: string[] = [];
  for (const area of ['host', 'network', 'log'] as const) {
    lines.push(colours.bold(area));
    for (const { check, status, detail, remedy } of verdicts.filter((each) => each.area === area)) {
      lines.push(`  ${shade[status](marks[status].padEnd(8))} ${check}: ${detail}`);
      if (remedy !== '') lines.push(`           → ${remedy}`);
    }
  }
  const failed = verdicts.filter(({ status }) => status === 'failed').length;
  const warned = verdicts.filter(({ status }) => status === 'warning').length;
  lines.push(failed === 0 ? colours.green('nothing failed') : colours.red(`${failed} failed`));
  if (warned > 0) lines.push(colours.yellow(`${warned} ${warned === 1 ? 'warning' : 'warnings'}`));
  return `${lines.join('\n')}\n`;
}
