import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { nowMs } from '../lab/clock.js';
import type { Daemon } from '../lab/daemon.js';
import { Lab, outputDirectory } from '../lab/lab.js';
import { runScenario } from '../lab/run-scenario.js';
import { gracefulStop } from '../lab/scenarios/graceful-stop.js';
import { carrierLost, silentPathLoss } from '../lab/scenarios/lan-lost.js';
import { freezeDataplane, killDataplane } from '../lab/scenarios/process-lost.js';
import { many, type Setup, single } from '../lab/setup.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { costOf } from './cost.js';
import { type Figure, figureTable, type Implementation, implementations } from './figures.js';
import { type BenchOptions, BenchUsageError, help, parseBenchOptions } from './options.js';

/** A second for what has just begun, and as long as the processor's clock needs to be exact to a percent or so. */
const settleMs = 1_000;
const measureMs = 5_000;
const loadAdvertMs = 10;
const movedDeadlineMs = 20_000;

const failures = [gracefulStop, carrierLost, silentPathLoss, killDataplane, freezeDataplane];
const print = (text: string): void => void process.stdout.write(`${text}\n`);

class Figures {
  readonly #all = new Map<string, { unit: Figure['unit']; rounds: Record<Implementation, (number | undefined)[]> }>();

  add(implementation: Implementation, name: string, unit: Figure['unit'], value: number | undefined): void {
    const entry = this.#all.get(name) ?? { unit, rounds: { keepalived: [], koi: [] } };
    entry.rounds[implementation].push(value);
    this.#all.set(name, entry);
  }

  get list(): Figure[] {
    return [...this.#all].map(([name, { unit, rounds }]) => ({ name, unit, rounds }));
  }
}

async function withLab(
  implementation: Implementation,
  setup: Setup,
  advertIntervalMs: number,
  run: (lab: Lab) => Promise<void>,
): Promise<void> {
  const options = {
    runs: 1,
    scenarios: [],
    routers: 2,
    verbose: false,
    all: false,
    list: false,
    exact: false,
  } as const;
  const lab = new Lab({ ...options, advertIntervalMs, implementation }, setup, () => {});
  try {
    await lab.open();
    await run(lab);
  } finally {
    lab.end();
  }
}

/** What the client feels of each failure of the master, one virtual router. */
async function outages({ intervalsMs, rounds }: BenchOptions, figures: Figures): Promise<void> {
  for (const intervalMs of intervalsMs) {
    for (const implementation of implementations) {
      await withLab(implementation, single, intervalMs, async (lab) => {
        await lab.makeWhole();
        let judgedUntilMs = 0;
        for (const scenario of failures) {
          for (let round = 1; round <= rounds; round++) {
            const result = await runScenario(lab, scenario, round, judgedUntilMs, Number.POSITIVE_INFINITY);
            judgedUntilMs = nowMs();
            // An address that two routers hold for good answers with either: that is no recovery.
            const moved = result.oneOwnerMs !== undefined && result.successor !== result.victim;
            const name = `outage, ${scenario.title}, adverts ${intervalMs} ms`;
            figures.add(implementation, name, 'ms', moved ? result.outageMs : undefined);
            print(`${implementation}: ${name}: ${moved ? `${result.outageMs.toFixed(1)} ms` : 'never one owner'}`);
            await lab.makeWhole().catch(() => lab.makeWhole());
            lab.forget();
          }
        }
      });
    }
  }
}

/** Processor time and memory of many virtual routers in peace, how long they take to begin, and to move. */
async function load({ counts, rounds }: BenchOptions, figures: Figures): Promise<void> {
  for (const count of counts) {
    const { sampled: _none, ...rest } = many;
    const setup: Setup = { ...rest, name: `load-${count}`, virtualRouters: many.virtualRouters.slice(0, count) };
    for (let round = 1; round <= rounds; round++) {
      for (const implementation of implementations) {
        await withLab(implementation, setup, loadAdvertMs, async (lab) => {
          const of = `${count} virtual router${count === 1 ? '' : 's'}, adverts ${loadAdvertMs} ms`;
          const note = (what: string, unit: Figure['unit'], value: number | undefined): void => {
            figures.add(implementation, `${what}, ${of}`, unit, value);
            print(
              `${implementation}: ${what}, ${of}: ${value === undefined ? 'never' : `${value.toFixed(1)} ${unit}`}`,
            );
          };
          const startedMs = nowMs();
          await lab.makeWhole();
          note('all served after start', 'ms', nowMs() - startedMs);
          const master = lab.master();
          await observeFor(settleMs);
          const routers = lab.daemons.map((daemon) => ({ daemon, before: costOf(daemon.allPids()) }));
          const fromMs = nowMs();
          await observeFor(measureMs);
          for (const { daemon, before } of routers) {
            const after = costOf(daemon.allPids());
            const role = daemon === master ? 'master' : 'backup';
            note(`processor, ${role}`, 'ms/s', ((after.cpuMs - before.cpuMs) * 1000) / (nowMs() - fromMs));
            note(`memory, ${role}`, 'MiB', after.memoryMiB);
          }
          await moveAll(lab, master, note);
        });
      }
    }
  }
}

async function moveAll(
  lab: Lab,
  master: Daemon,
  note: (what: string, unit: Figure['unit'], value: number | undefined) => void,
): Promise<void> {
  const addresses = lab.setup.virtualRouters.map(({ address }) => address);
  const successor = lab.daemons.find((daemon) => daemon !== master)?.router.name ?? '';
  const atMs = nowMs();
  await lab.topology.cutLan(master.router);
  const left = (): number => addresses.filter((address) => !lab.owners.now(address).includes(successor)).length;
  const isOver = await waitUntil('all to move', () => (left() === 0 ? undefined : `${left()} have not`), {
    deadlineMs: movedDeadlineMs,
  }).then(
    () => true,
    () => false,
  );
  const movedMs = addresses.map(
    (address) =>
      lab.owners.history(atMs, nowMs(), address).find(({ owners }) => owners.includes(successor))?.afterMs ?? 0,
  );
  note('carrier lost: first address moved', 'ms', isOver ? Math.min(...movedMs) : undefined);
  note('carrier lost: last address moved', 'ms', isOver ? Math.max(...movedMs) : undefined);
  note('carrier lost: from first to last', 'ms', isOver ? Math.max(...movedMs) - Math.min(...movedMs) : undefined);
}

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
  for (const [name, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 })) {
    process.on(name, () => process.exit(128 + number));
  }
  const figures = new Figures();
  const startedMs = nowMs();
  if (options.cases.includes('outage')) await outages(options, figures);
  if (options.cases.includes('load')) await load(options, figures);

  print(`\n${figureTable(figures.list)}`);
  mkdirSync(outputDirectory, { recursive: true });
  const file = join(outputDirectory, 'bench.json');
  const machine = { kernel: release(), processors: cpus().length, node: process.version };
  writeFileSync(
    file,
    `${JSON.stringify({ at: new Date().toISOString(), machine, options, figures: figures.list }, null, 2)}\n`,
  );
  print(`\n${((nowMs() - startedMs) / 1000).toFixed(0)} s; a ratio below 1 is in Koi's favour; details in ${file}`);
  return 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const usage = error instanceof BenchUsageError;
    process.stderr.write(`bench: ${usage ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(usage ? 2 : 1);
  },
);
