import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { nowMs } from '../lab/clock.js';

const program = fileURLToPath(new URL('client.mjs', import.meta.url));
const askEveryMs = 20;
const flushEveryMs = 50;

/** A client that asks the virtual IP all the time, and whose neighbour cache is emptied all the time. */
export class Client {
  readonly #asking: ChildProcessByStdio<Writable, Readable, null>;
  readonly #flushing: ChildProcessByStdio<Writable, null, null>;
  readonly #timer: NodeJS.Timeout;
  #lastAnswerMs: number | undefined;
  #rest = '';

  constructor(netns: string, address: string) {
    this.#asking = spawn('ip', ['netns', 'exec', netns, process.execPath, program, address, String(askEveryMs)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#asking.stdout.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    // One process that reads commands, since twenty new ones a second would be felt.
    this.#flushing = spawn('ip', ['-n', netns, '-force', '-batch', '-'], { stdio: ['pipe', 'ignore', 'ignore'] });
    this.#flushing.stdin.on('error', () => {});
    this.#timer = setInterval(() => this.#flushing.stdin.write('neigh flush dev eth1\n'), flushEveryMs);
  }

  #take(text: string): void {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    const last = lines.at(-1);
    if (last !== undefined) this.#lastAnswerMs = Number(last) / 1e6;
  }

  /** Why the client counts as not served since a time, or undefined once it got an answer. */
  unansweredSince(sinceMs: number): string | undefined {
    if (this.#asking.exitCode !== null) return `the client has ended (${this.#asking.exitCode})`;
    if (this.#lastAnswerMs === undefined) return 'the client never got an answer';
    if (this.#lastAnswerMs >= sinceMs) return undefined;
    return `the client's last answer came ${(nowMs() - this.#lastAnswerMs).toFixed(0)} ms ago`;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#flushing.kill('SIGKILL');
    this.#asking.kill('SIGKILL');
  }
}
