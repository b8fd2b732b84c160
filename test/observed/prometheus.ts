import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { MainProcess } from '../lab/daemon.js';
import { waitUntil } from '../lab/wait.js';

const asker = fileURLToPath(new URL('asker.mjs', import.meta.url));
const port = 9090;
const alertmanagerPort = 9093;

const answersSchema = z.array(
  z.union([
    z.strictObject({ error: z.string() }),
    z.strictObject({
      series: z.array(
        z.object({ metric: z.record(z.string(), z.string()), values: z.array(z.tuple([z.number(), z.string()])) }),
      ),
    }),
  ]),
);
export type Series = {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
};

export interface Query {
  readonly expr: string;
  /** At this time only, and not since `fromMs`. */
  readonly instant: boolean;
}

/** Puts it to the asker, which stands in the network namespace, and returns what it prints. */
function askIn(netns: string, input: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const words = ['netns', 'exec', netns, process.execPath, asker];
    const child = execFile('ip', words, { timeout: 60_000, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message} ${stderr}`)),
    );
    child.stdin?.end(JSON.stringify(input));
  });
}

/** A real Prometheus in a network namespace, which scrapes every second. */
export class Prometheus {
  readonly #netns: string;
  readonly #main: MainProcess;
  readonly #directory: string;
  readonly #program: string;
  readonly startedMs = Date.now();

  constructor(options: {
    readonly program: string;
    readonly netns: string;
    readonly directory: string;
    readonly targets: readonly string[];
    readonly rules: string;
  }) {
    const { netns, directory, targets, rules } = options;
    this.#netns = netns;
    this.#directory = directory;
    this.#program = options.program;
    this.#main = new MainProcess(netns, join(directory, 'prometheus.log'));
    writeFileSync(join(directory, 'rules.yaml'), rules);
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertmanagerPort}`] }] }] },
      rule_files: [join(directory, 'rules.yaml')],
      scrape_configs: [{ job_name: 'koi', static_configs: [{ targets }] }],
    };
    writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(config));
  }

  async start(): Promise<void> {
    this.#main.start(this.#program, [
      `--config.file=${join(this.#directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(this.#directory, 'prometheus')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ]);
    const notYet = async (): Promise<string | undefined> => {
      if (!this.#main.running) throw new Error(`prometheus has ended: ${this.#main.lastWords()}`);
      try {
        const [up = []] = await this.ask([{ expr: 'up == 1', instant: true }]);
        return up.length === 2 ? undefined : `${up.length} of 2 nodes are scraped`;
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    await waitUntil('prometheus to scrape', notYet, { deadlineMs: 60_000, everyMs: 300 });
  }

  /** The series that each query has since it was started. */
  async ask(queries: readonly Query[]): Promise<Series[][]> {
    const input = { url: `http://127.0.0.1:${port}`, fromMs: this.startedMs, queries };
    const said = await askIn(this.#netns, input);
    return answersSchema.parse(JSON.parse(said)).map((answer, index) => {
      if ('error' in answer) throw new Error(`${queries[index]?.expr}: ${answer.error}`);
      return answer.series;
    });
  }

  /** When each alert has been firing, by its name: the first and the last time, Unix seconds. */
  async fired(): Promise<
    ReadonlyMap<string, { readonly firstS: number; readonly lastS: number; readonly labels: string }>
  > {
    const [series = []] = await this.ask([{ expr: 'ALERTS{alertstate="firing"}', instant: false }]);
    return new Map(
      series.map(({ metric, values }) => [
        metric.alertname ?? '',
        { firstS: values[0]?.[0] ?? 0, lastS: values.at(-1)?.[0] ?? 0, labels: JSON.stringify(metric) },
      ]),
    );
  }

  async stop(): Promise<void> {
    if (this.#main.running) await this.#main.stop(20_000);
  }
}

/** A real Alertmanager beside it. */
export class Alertmanager {
  readonly #netns: string;
  readonly #main: MainProcess;
  readonly #words: readonly string[];
  readonly #program: string;

  constructor(options: {
    readonly program: string;
    readonly netns: string;
    readonly directory: string;
    readonly configFile: string;
  }) {
    const { netns, directory, configFile, program } = options;
    this.#netns = netns;
    this.#program = program;
    this.#main = new MainProcess(netns, join(directory, 'alertmanager.log'));
    this.#words = [
      `--config.file=${configFile}`,
      `--storage.path=${join(directory, 'alertmanager')}`,
      `--web.listen-address=127.0.0.1:${alertmanagerPort}`,
      // It has no others of its kind.
      '--cluster.listen-address=',
    ];
  }

  start(): void {
    this.#main.start(this.#program, this.#words);
  }

  /** What a person is told now, by name and receiver. */
  async told(): Promise<string[]> {
    const url = `http://127.0.0.1:${alertmanagerPort}/api/v2/alerts?active=true&inhibited=false&silenced=false`;
    const said = await askIn(this.#netns, { url });
    return alertsSchema
      .parse(JSON.parse(said))
      .map(({ labels, receivers }) => `${labels.alertname} to ${receivers[0]?.name}`);
  }

  async stop(): Promise<void> {
    if (this.#main.running) await this.#main.stop(20_000);
  }
}

const alertsSchema = z.array(
  z.object({ labels: z.record(z.string(), z.string()), receivers: z.array(z.object({ name: z.string() })) }),
);

/** How much shorter spans of time are: those that rules look back over, and those that they wait before they fire. */
export interface Hastened {
  readonly spans: number;
  readonly waits: number;
}

/**
 * Rules for a Prometheus that scrapes more often than every 15 s. What a rule looks back over may shrink further than what
 * it waits for: processes that start and links that are made take the time they take.
 */
export function hastened(file: string, { spans, waits }: Hastened): string {
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
  const shorter = (count: string, unit: string, factor: number): string =>
    `${Math.max(1, Math.round((Number(count) * seconds[unit as keyof typeof seconds]) / factor))}s`;
  return readFileSync(file, 'utf8')
    .replace(
      /\[(\d+)([smhd])(?::(\d+)([smhd]))?\]/g,
      (_, count: string, unit: string, step?: string, stepUnit?: string) =>
        step === undefined
          ? `[${shorter(count, unit, spans)}]`
          : `[${shorter(count, unit, spans)}:${shorter(step, stepUnit ?? 's', spans)}]`,
    )
    .replace(/for: (\d+)([smhd])/g, (_, count: string, unit: string) => `for: ${shorter(count, unit, waits)}`);
}
