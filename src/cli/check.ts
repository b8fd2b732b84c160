import { hostname } from 'node:os';
import type { Command } from 'commander';
import type { EmbeddedLogConfig, KoiConfig } from '../config/config.js';
import { checkFiles, checkPrograms } from '../config/file-checks.js';
import { readHostView } from '../config/host-view.js';
import { invalidConfig, type ParsedConfig, parseConfig, withoutRepeats } from '../config/load.js';
import { checkLogHost } from '../config/log-host-checks.js';
import { type ConfigPath, formatPath, valueAt } from '../config/path.js';
import { type ConfigProblem, formatProblem, gatherAlike } from '../config/problem.js';
import type { ReadDocument } from '../config/read-document.js';
import { readConfigText } from '../config/read-text.js';
import { checkUnitUsers } from '../config/unit-users.js';
import { readUnitView } from '../config/unit-view.js';
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
Checks the file itself, the files and programs it names, this machine's interfaces, and the nats-server that log.embedded
asks for. Run as root where Koi's units are installed, it also tries whether their users can read those files. Exits 0 when
koi can run with it (warnings included) and 2 when it cannot; every error is printed at once, with its line and what to do.

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
  const { document } = parsed;
  const found = document === undefined ? [] : await lookAround(file, document, parsed);
  const errors = [...(parsed.ok ? [] : parsed.errors), ...found.flatMap((each) => each.errors)];
  const warnings = [...parsed.warnings, ...found.flatMap((each) => each.warnings)];
  const ok = parsed.ok && errors.length === 0;
  return { ok, file, errors: withoutRepeats(errors), warnings, summary: parsed.ok ? summaryOf(parsed.config) : '' };
}

interface Problems {
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

/** What files, programs, units and the log on this machine have to say, also of a configuration that is wrong elsewhere. */
async function lookAround(file: string, document: ReadDocument, parsed: ParsedConfig): Promise<Problems[]> {
  const log = parsed.ok ? parsed.config.log : parsed.log;
  const given = valueAt(document.root, ['node']);
  const node = parsed.ok ? parsed.config.node : typeof given === 'string' ? given : hostname();
  const units = readUnitView();
  return [
    checkFiles(document),
    checkPrograms(document),
    ...(units === undefined ? [] : [checkUnitUsers(document, file, units)]),
    ...(log === undefined
      ? []
      : [
          await checkLogHost({ log, node }, document.lineOf, (listen) => probeServer(listen, probeDeadlineMs)),
          { errors: await findBinary(log.embedded, document.lineOf), warnings: [] },
        ]),
  ];
}

const summaryOf = ({ cluster, node, virtualRouters }: KoiConfig): string =>
  `cluster ${cluster}, node ${node}, ${virtualRouters.length} virtual router${virtualRouters.length === 1 ? '' : 's'}`;

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
  for (const warning of gatherAlike(warnings)) {
    process.stderr.write(`${colours.yellow('warning:')} ${formatProblem(file, warning)}\n  → ${warning.remedy}\n`);
  }
}
