import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { nowMs } from './clock.js';
import { Lab, outputDirectory, root } from './lab.js';
import { help, type LabOptions, parseOptions, UsageError } from './options.js';
import { ownersLine, paintFor, runLine, type ScenarioResult, summarize, table } from './report.js';
import { type RunResult, runScenario, stallMs } from './run-scenario.js';
import { type Scenario, setupOf } from './scenario.js';
import { scenarios } from './scenarios/index.js';
import { replicasOf, type Setup } from './setup.js';

const paint = paintFor(process.stdout, process.env);
const print = (text: string) => void process.stdout.write(`${text}\n`);

/** Replaces the progress line on a terminal; says nothing elsewhere. */
function progress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${paint.dim(text)}`);
}

function clearProgress(): void {
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(help);
    return 0;
  }
  if (options.list) {
    for (const { name, title, onDemand } of scenarios)
      print(`${onDemand === true ? '*' : ' '} ${name.padEnd(32)}${title}`);
    return 0;
  }
  const chosen = choose(options);
  if (process.getuid?.() !== 0) {
    process.stderr.write('lab: network namespaces and raw sockets need root; run it with sudo or in a container\n');
    return 3;
  }
  if (options.implementation === 'koi' && !existsSync(join(root, 'dist/cli/main.js'))) {
    process.stderr.write('lab: dist/ is not built; start the lab with `npm run lab`\n');
    return 1;
  }
  return runLab(options, chosen);
}

function choose(options: LabOptions): Scenario[] {
  const unknown = options.scenarios.find((name) => !scenarios.some((scenario) => scenario.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`--scenario ${unknown}: there are ${scenarios.map((scenario) => scenario.name).join(', ')}`);
  }
  return scenarios.filter(
    (scenario) =>
      (options.scenarios.length === 0
        ? options.all || scenario.onDemand !== true
        : options.scenarios.includes(scenario.name)) &&
      (options.implementation === 'koi' || scenario.koiOnly !== true),
  );
}

async function runLab(options: LabOptions, chosen: readonly Scenario[]): Promise<number> {
  const startedMs = nowMs();
  let step = '';
  const say = (text: string) => {
    if (options.verbose) print(paint.dim(`  ${((nowMs() - startedMs) / 1000).toFixed(1)} s  ${text}`));
    else progress(`${step}  ${text}`);
  };
  for (const [name, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 })) {
    process.on(name, () => {
      clearProgress();
      process.stderr.write(`lab: ${name}, cleaning up\n`);
      process.exit(128 + number);
    });
  }

  rmSync(join(outputDirectory, 'last'), { recursive: true, force: true });
  const results: ScenarioResult[] = [];
  let timeline: { readonly title: string; readonly text: string } | undefined;
  let strays = 0;
  for (const setup of new Set(chosen.map(setupOf))) {
    const lab = await openLab(setup);
    await runAll(
      lab,
      chosen.filter((scenario) => setupOf(scenario) === setup),
    );
    lab.end();
  }

  print(`\n${table(results, paint)}`);
  if (strays > 0) print(paint.bad(`${strays} more frames with a wrong MAC after the last run`));
  if (timeline !== undefined)
    print(`\nkoi timeline of the last failover (${timeline.title}):\n\n${timeline.text.trimEnd()}`);
  const file = join(outputDirectory, 'results.json');
  writeFileSync(file, `${JSON.stringify(record(options, results, strays), null, 2)}\n`);
  const ok = strays === 0 && results.every((result) => result.ok);
  const seconds = ((nowMs() - startedMs) / 1000).toFixed(0);
  const verdict = ok ? paint.good('every promise held') : paint.bad('a promise broke');
  print(`\n${verdict}; ${seconds} s; details in ${file}`);
  return ok ? 0 : 1;

  async function openLab(setup: Setup): Promise<Lab> {
    const openedMs = nowMs();
    step = `starting ${setup.name}`;
    const lab = new Lab(options, setup, say);
    const adverts = `adverts every ${lab.timing.advertIntervalMs} ms`;
    print(
      `${options.implementation}: ${options.routers} routers, ${describe(setup)}, ${adverts}, one probe a millisecond`,
    );
    await lab.open();
    await lab.makeWhole();
    clearProgress();
    print(paint.dim(`  the cluster is whole after ${((nowMs() - openedMs) / 1000).toFixed(1)} s`));
    return lab;
  }

  async function runAll(lab: Lab, scenarios: readonly Scenario[]): Promise<void> {
    let judgedUntilMs = 0;
    for (const scenario of scenarios) {
      const runs: RunResult[] = [];
      for (let number = 1; number <= options.runs; number++) {
        step = `${scenario.title} ${number}/${options.runs}`;
        let result = await runScenario(lab, scenario, number, judgedUntilMs, options.exact ? 0 : stallMs);
        judgedUntilMs = nowMs();
        if (scenario.vip === 'moves' && number === options.runs) {
          const text = lab.daemonOf(result.successor ?? '')?.printTimeline(new Date(Date.parse(result.at) - 100));
          if (text !== undefined) timeline = { title: scenario.title, text };
        }
        if (result.broken.length > 0) keepTimelines(lab, result);
        say('making the cluster whole again');
        try {
          await lab.makeWhole();
        } catch (error) {
          result = { ...result, broken: [...result.broken, `afterwards: ${String(error)}`] };
        }
        lab.forget();
        clearProgress();
        print(`${scenario.title.padEnd(38)} ${number}/${options.runs}  ${runLine(result, paint)}`);
        if (scenario.promise !== undefined) print(`    owners: ${ownersLine(result.owners)}`);
        if (scenario.narrates === true) for (const each of result.checks) print(`    ${each.name}: ${each.detail}`);
        runs.push(result);
      }
      results.push(summarize(scenario, lab.timing, runs));
    }
    strays += lab.recorder.wrongFrames(judgedUntilMs).length;
  }
}

/** What every node knows of a run that broke, beside the logs of all programs. */
function keepTimelines(lab: Lab, { scenario, run, at }: RunResult): void {
  const since = new Date(Date.parse(at) - 10_000);
  for (const { router, printTimeline } of lab.daemons) {
    const file = join(outputDirectory, 'last', lab.setup.name, `${scenario}-${run}-${router.name}.timeline`);
    writeFileSync(file, printTimeline(since) ?? '');
  }
}

function describe(setup: Setup): string {
  const { virtualRouters, embedded } = setup;
  const servers = replicasOf(setup);
  const alone = servers === 1 ? 'a log on one server' : `a log on ${servers} servers`;
  const log = embedded === true ? `${alone}, the routers' own and a witness` : alone;
  return virtualRouters.length === 1 ? log : `${log}, ${virtualRouters.length} virtual routers`;
}

function record(options: LabOptions, results: readonly ScenarioResult[], strays: number) {
  return {
    at: new Date().toISOString(),
    machine: { kernel: release(), processors: cpus().length, node: process.version },
    options,
    wrongMacsAfterLastRun: strays,
    scenarios: results,
  };
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    clearProgress();
    const usage = error instanceof UsageError;
    process.stderr.write(`lab: ${usage ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(usage ? 2 : 1);
  },
);
