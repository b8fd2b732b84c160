import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { logNames } from '../../src/log/subjects.js';
import { MainProcess } from './daemon.js';
import { natsPort, overseerAddress, type Topology } from './topology.js';
import { waitUntil } from './wait.js';

/** What one server says of the stream. */
const viewSchema = z.object({
  leader: z.string().nullable(),
  lastSequence: z.number(),
  replicas: z.array(z.object({ name: z.string(), current: z.boolean() })),
});
export type StreamView = z.infer<typeof viewSchema>;
const streamSchema = z.record(z.string(), viewSchema.nullable());

export const clusterName = 'lab';
/** Where the relay listens, for those who shall be answered late. */
export const relayUrl = `nats://${overseerAddress}:${natsPort}`;

/** Asks the nats-servers from the management network, where the lab's own process is not. */
export class Overseer {
  readonly #main: MainProcess;
  readonly #socket: string;
  readonly #members: readonly { readonly name: string; readonly address: string }[];

  constructor(options: {
    topology: Topology;
    members: readonly { readonly name: string; readonly address: string }[];
    socket: string;
    logFile: string;
  }) {
    this.#members = options.members;
    this.#socket = options.socket;
    this.#main = new MainProcess(options.topology.switchNetns, options.logFile);
  }

  async start(): Promise<void> {
    const program = fileURLToPath(new URL('overseer-main.ts', import.meta.url));
    const hosts = this.#members.map(({ name, address }) => `${name}=${address}`);
    const stream = logNames(clusterName).stream;
    const relay = `${overseerAddress}:${natsPort}`;
    this.#main.start(process.execPath, ['--import', 'tsx', program, this.#socket, stream, relay, ...hosts]);
    await waitUntil(
      'the overseer',
      async () => {
        if (!this.#main.running) throw new Error(`the overseer ended (${this.#main.ended}): ${this.#main.lastWords()}`);
        return this.stream().then(
          () => undefined,
          (error: unknown) => String(error),
        );
      },
      { deadlineMs: 10_000, everyMs: 100 },
    );
  }

  /** What each server says of a stream, by default that of the events; null where it says nothing, or knows of none. */
  async stream(name = logNames(clusterName).stream): Promise<Record<string, StreamView | null>> {
    return streamSchema.parse(await this.#ask('GET', `/stream?name=${name}`));
  }

  /** The server that itself says that it leads the stream; undefined where none does. */
  async leader(stream?: string): Promise<string | undefined> {
    return Object.entries(await this.stream(stream)).find(([name, view]) => view?.leader === name)?.[0];
  }

  /** Asks the stream's leader to step down in favour of another server. */
  async moveLeader(to: string): Promise<void> {
    await this.#ask('POST', `/leader?to=${to}`);
  }

  async delayRelay(ms: number): Promise<void> {
    await this.#ask('POST', `/delay?ms=${ms}`);
  }

  #ask(method: string, path: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.#socket, path, method, timeout: 5_000 }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => {
          if (response.statusCode === 200) resolve(JSON.parse(body));
          else reject(new Error(`overseer ${path}: ${body}`));
        });
      });
      asked.on('timeout', () => asked.destroy(new Error(`overseer ${path}: no answer`)));
      asked.on('error', reject);
      asked.end();
    });
  }
}
