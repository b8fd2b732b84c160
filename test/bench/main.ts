import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { nowMs } from '../lab/clock.js';
import { outputDirectory, ownProgram } from '../lab/lab.js';
import { type Bench, isAsked, print } from './bench-lab.js';
import { eventLog } from './event-log.js';
import { Figures, figureTable, type Note, show } from './figures.js';
import { lateness } from './lateness.js';
import { load } from './load.js';
import { memory } from './memory.js';
import { type BenchCase, type BenchOptions, BenchUsageError, help, parseBenchOptions } from './options.js';
import { outages } from './outage.js';
import { NotStagedError, stagePackaged } from './packaged.js';
import { replay } from './replay.js';

const cases: Readonly<Record<BenchCase, (bench: Bench, note: Note) => Promise<void>>> = {
  outage: outages,
  load,
  lateness,
  memory,
  log: eventLog,
  replay,
};

async function main(): Promise<number> {
  const options = parseBenchOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(help);
    return 0;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('bench: network namespaces and raw sockets need root; run it with sudo or in a container\n');
    return 3;
  }
  const isPackaged = isAsked('koi', options.of) && options.node === 'packaged';
  const program = isPackaged ? stagePackaged((text) => print(`bench: ${text}`)) : ownProgram;
  const koi = isAsked('koi', options.of) ? { node: versionOf(program.node), program: program.node } : undefined;
  if (koi !== undefined) {
    print(`Koi runs on Node ${koi.node}, ${isPackaged ? "the package's" : 'as the benchmark does'}: ${koi.program}`);
  }
  const figures = new Figures();
  const startedMs = nowMs();
  // Whatever ends it, what has been measured is kept.
  for (const [name, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 })) {
    process.on(name, () => {
      report(options, koi, figures, startedMs);
      process.exit(128 + number);
    });
  }
  const note: Note = (implementation, name, unit, value) => {
    figures.add(implementation, name, unit, value);
    const seconds = ((nowMs() - startedMs) / 1000).toFixed(0);
    print(`${seconds.padStart(5)} s  ${implementation}: ${name}: ${show(value ?? Number.POSITIVE_INFINITY, unit)}`);
  };
  for (const name of options.cases) await cases[name]({ ...options, program }, note);
  report(options, koi, figures, startedMs);
  return 0;
}

const versionOf = (node: string): string => execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();

function report(
  options: BenchOptions,
  koi: { readonly node: string; readonly program: string } | undefined,
  figures: Figures,
  startedMs: number,
): void {
  print(`\n${figureTable(figures.list)}`);
  mkdirSync(outputDirectory, { recursive: true });
  const file = join(outputDirectory, 'bench.json');
  const machine = { kernel: release(), processor: cpus()[0]?.model, processors: cpus().length, node: process.version };
  const tookS = Math.round((nowMs() - startedMs) / 1000);
  const details = { at: new Date().toISOString(), machine, koi, options, tookS, figures: figures.list };
  writeFileSync(file, `${JSON.stringify(details, null, 2)}\n`);
  print(`\n${tookS} s; a ratio below 1 is in Koi's favour, but of rates; details in ${file}`);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const usage = error instanceof BenchUsageError;
    const isTold = usage || error instanceof NotStagedError;
    process.stderr.write(`bench: ${isTold ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(usage ? 2 : 1);
  },
);
