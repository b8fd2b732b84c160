import type { Command } from 'commander';
import type { EmbeddedLogConfig } from '../config/config.js';
import { checkFiles, checkPrograms } from '../config/file-checks.js';
import { readHostView } from '../config/host-view.js';
import { invalidConfig, parseConfig } from '../config/load.js';
import { checkLogHost } from '../config/log-host-checks.js';
import { type ConfigPath, formatPath } from '../config/path.js';
import { type ConfigProblem, formatProblem } from '../config/problem.js';
import { readConfigText } from '../config/read-text.js';
import { KoiError } from '../koi-error.js';
import { findNatsServer } from '../log/nats-server/binary.js';
import { probeServer } from '../log/nats-server/probe.js';
import { paint } from './paint.js';

const probeDeadlineMs = 1_000;

interface Options {
  readonly config: string;
  readonly json?: boolean;
}

interface Report {
  readonly ok: boolean;
  readonly file: string;
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
  readonly summary: string;
}

export function define(command: Command): void {
  command
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--json', 'print {ok, file, errors, warnings} as JSON')
    .addHelpText(
      'after',
      `
Checks the file itself, the files it names, this machine's interfaces, and the nats-server that log.embedded asks for. Exits 0 when koi can run with it (warnings
included) and 2 when it cannot; every error is printed, with its line and what to do.

Examples:
  koi check -c /etc/koi/koi.yaml
  koi check -c koi.yaml --json | jq '.errors[].path'
`,
    )
    .action(async (options: Options) => {
      const report = await examine(options.config);
      if (options.json === true) {
        const { summary: _, ...json } = report;
        process.stdout.write(`${JSON.stringify(json, null, 2)}\n`);
        if (!report.ok) process.exitCode = 2;
        return;
      }
      printWarnings(report);
      if (!report.ok) throw invalidConfig(report.file, report.errors);
      process.stdout.write(`${report.file}: ok (${report.summary})\n`);
    });
}

async function examine(file: string): Promise<Report> {
  const parsed = parseConfig(readConfigText(file), { host: readHostView() });
  if (!parsed.ok) return { ok: false, file, errors: parsed.errors, warnings: parsed.warnings, summary: '' };
  const files = checkFiles(parsed.config, parsed.lineOf);
  const programs = checkPrograms(parsed.config, parsed.lineOf);
  const log = await checkLogHost(parsed.config, parsed.lineOf, (listen) => probeServer(listen, probeDeadlineMs));
  const binary = await findBinary(parsed.config.log.embedded, parsed.lineOf);
  const errors = [...files.errors, ...programs.errors, ...log.errors, ...binary];
  const { cluster, node, virtualRouters } = parsed.config;
  return {
    ok: errors.length === 0,
    file,
    errors,
    warnings: [...parsed.warnings, ...files.warnings, ...programs.warnings, ...log.warnings],
    summary: `cluster ${cluster}, node ${node}, ${virtualRouters.length} virtual router${virtualRouters.length === 1 ? '' : 's'}`,
  };
}

/** A server that koi is to run must be there, and be new enough. */
async function findBinary(
  embedded: EmbeddedLogConfig | undefined,
  lineOf: (path: ConfigPath) => number | undefined,
): Promise<ConfigProblem[]> {
  if (embedded === undefined) return [];
  try {
    await findNatsServer(embedded.binary);
    return [];
  } catch (error) {
    if (!(error instanceof KoiError)) throw error;
    const path = embedded.binary === undefined ? ['log', 'embedded'] : ['log', 'embedded', 'binary'];
    return [{ path: formatPath(path), line: lineOf(path), message: error.message, remedy: error.remedy ?? '' }];
  }
}

function printWarnings({ file, warnings }: Report): void {
  const colours = paint(process.stderr);
  for (const warning of warnings) {
    process.stderr.write(`${colours.yellow('warning:')} ${formatProblem(file, warning)}\n  → ${warning.remedy}\n`);
  }
}
