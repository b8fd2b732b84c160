import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../lab/compile.js';
import { outputDirectory } from '../lab/lab.js';
import { startLineTool, type Tool } from '../lab/tool.js';
import type { Topology } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';

const lab = fileURLToPath(new URL('../lab', import.meta.url));

/** How much later than an interval after the one before the adverts of a router came, as its switch port saw them. */
export interface Lateness {
  readonly adverts: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly worstMs: number;
}

/** Watches every router's adverts, all the time. */
export class Gaps {
  readonly #tool: Tool;
  #ready = false;
  #told = new Map<string, Lateness>();
  #dropped = 0;

  constructor(topology: Topology, intervalMs: number) {
    const ports = topology.routers.map(({ name, switchPort }) => `${topology.switchNetns}/${switchPort}/${name}`);
    const program = compile(lab, 'gaps', join(outputDirectory, 'bin'));
    this.#tool = startLineTool(program, [String(intervalMs * 1000), ...ports], (line) => this.#take(line));
  }

  #take(line: string): void {
    const [label = '', ...words] = line.split(' ');
    if (label === '-') {
      this.#ready = true;
      return;
    }
    const [adverts = 0, p50 = 0, p99 = 0, p999 = 0, worst = 0, dropped = 0] = words.map(Number);
    this.#dropped += dropped;
    const [p50Ms, p99Ms, p999Ms, worstMs] = [p50 / 1000, p99 / 1000, p999 / 1000, worst / 1000];
    this.#told.set(label, { adverts, p50Ms, p99Ms, p999Ms, worstMs });
  }

  async ready(): Promise<void> {
    await this.#until('the watcher of the adverts', () => (this.#ready ? undefined : 'its ports are not open yet'));
  }

  /** What came since it was asked last, by the name of the router. */
  async report(routers: number): Promise<ReadonlyMap<string, Lateness>> {
    this.#told = new Map();
    this.#tool.say('report\n');
    await this.#until('the lateness of the adverts', () =>
      this.#told.size === routers ? undefined : `${this.#told.size} of ${routers} ports have answered`,
    );
    if (this.#dropped > 0) throw new Error(`the kernel dropped ${this.#dropped} adverts unseen`);
    return this.#told;
  }

  end(): void {
    this.#tool.end();
  }

  async #until(what: string, missing: () => string | undefined): Promise<void> {
    await waitUntil(what, () => this.#tool.failure() ?? missing(), { deadlineMs: 10_000 });
  }
}
