import { runCommand } from './command.js';
import { watchFile } from './file-tracker.js';
import { watchProcess } from './process-tracker.js';
import { watchRoute } from './route-tracker.js';
import type { FromRunner, RunnerTrack, ToRunner } from './runner-protocol.js';
import { watchScript } from './script-tracker.js';
import type { OnReading, Watching } from './watching.js';

/** Commands that run at a time; a failover of a thousand virtual routers must not become a thousand forks at once. */
const commandsMax = 32;

/** Watches and runs what the dataplane must not: forks, file systems, large tables. */
export class Runner {
  readonly #tell: (message: FromRunner) => void;
  readonly #watchings = new Map<string, { readonly text: string; readonly watching: Watching }>();
  readonly #waiting: Extract<ToRunner, { type: 'run' }>[] = [];
  readonly #ended = new AbortController();
  #running = 0;

  constructor(tell: (message: FromRunner) => void) {
    this.#tell = tell;
  }

  take(message: ToRunner): void {
    if (message.type === 'watch') {
      this.#watch(message.tracks as readonly RunnerTrack[]);
      return;
    }
    this.#waiting.push(message);
    this.#runNext();
  }

  /** Nothing is watched any more, and what still runs is ended: nobody would do so at its deadline. */
  stop(): void {
    for (const { watching } of this.#watchings.values()) watching.stop();
    this.#watchings.clear();
    this.#waiting.length = 0;
    this.#ended.abort();
  }

  #watch(tracks: readonly RunnerTrack[]): void {
    const wanted = new Map(tracks.map((track) => [track.name, track]));
    for (const [name, { text, watching }] of this.#watchings) {
      const track = wanted.get(name);
      if (track !== undefined && textOf(track) === text) continue;
      watching.stop();
      this.#watchings.delete(name);
    }
    for (const track of tracks) {
      if (this.#watchings.has(track.name)) continue;
      const onReading: OnReading = (reading) => this.#tell({ type: 'reading', track: track.name, ...reading });
      this.#watchings.set(track.name, { text: textOf(track), watching: begin(track, onReading) });
    }
  }

  #runNext(): void {
    if (this.#running >= commandsMax) return;
    const order = this.#waiting.shift();
    if (order === undefined) return;
    this.#running += 1;
    void this.#run(order).finally(() => {
      this.#running -= 1;
      this.#runNext();
    });
  }

  async #run({ id, command, user, timeoutMs, environment }: Extract<ToRunner, { type: 'run' }>): Promise<void> {
    const startedMs = performance.now();
    const result = await runCommand({ command, user, timeoutMs, environment, ended: this.#ended.signal });
    this.#tell({ type: 'ran', id, ...result, durationMs: performance.now() - startedMs });
  }
}

/** What a change of makes it begin anew: a weight does not. */
const textOf = (track: RunnerTrack): string => JSON.stringify({ ...track, weight: 0, reverse: false });

function begin(track: RunnerTrack, onReading: OnReading): Watching {
  try {
    switch (track.kind) {
      case 'script':
        return watchScript(track, onReading);
      case 'file':
        return watchFile(track, onReading);
      case 'process':
        return watchProcess(track, onReading);
      case 'route':
        return watchRoute(track, onReading);
    }
  } catch (error) {
    onReading({ level: 'down', detail: error instanceof Error ? error.message : String(error) });
    return { stop: () => undefined };
  }
}
