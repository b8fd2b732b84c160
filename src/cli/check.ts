import type { Command } from 'commander';
import { checkFiles } from '../config/file-checks.js';
import { readHostView } from '../config/host-view.js';
import { invalidConfig, parseConfig } from '../config/load.js';
import { type ConfigProblem, formatProblem } from '../config/problem.js';
import { readConfigText } from '../config/read-text.js';
import { paint } from './paint.js';

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
Checks the file itself, the files it names, and this machine's interfaces. Exits 0 when koi can run with it (warnings
included) and 2 when it cannot; every error is printed, with its line and what to do.

Examples:
  koi check -c /etc/koi/koi.yaml
  koi check -c koi.yaml --json | jq '.errors[].path'
`,
    )
    .action((options: Options) => {
      const report = examine(options.config);
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

function examine(file: string): Report {
  const parsed = parseConfig(readConfigText(file), { host: readHostView() });
  if (!parsed.ok) return { ok: false, file, errors: parsed.errors, warnings: parsed.warnings, summary: '' };
  const files = checkFiles(parsed.config, parsed.lineOf);
  const { cluster, node, virtualRouters } = parsed.config;
  return {
    ok: files.errors.length === 0,
    file,
    errors: files.errors,
    warnings: [...parsed.warnings, ...files.warnings],
    summary: `cluster ${cluster}, node ${node}, ${virtualRouters.length} virtual router${virtualRouters.length === 1 ? '' : 's'}`,
  };
}

function printWarnings({ file, warnings }: Report): void {
  const colours = paint(process.stderr);
  for (const warning of warnings) {
    process.stderr.write(`${colours.yellow('warning:')} ${formatProblem(file, warning)}\n  → ${warning.remedy}\n`);
  }
}
