import { msOfNs, nowMs } from './clock.js';
import { type ClientView, judgeClient, type Probe } from './outage.js';
import { startRecordTool, type Tool } from './tool.js';
import { waitUntil } from './wait.js';

const recordBytes = 16;
/** How long an answer may take before the probe is called lost. */
const patienceMs = 250;

/** The client: a thousand echo requests a second to the virtual IP, from before the first failure to after the last. */
export class Prober {
  readonly address: string;
  readonly #tool: Tool;
  /** Sequence numbers start at 1 and have no gaps, so the array is the index. */
  #probes: Probe[] = [];
  /** How many probes before `#probes[0]` were forgotten. */
  #forgotten = 0;
  #lastAnswerMs = Number.NEGATIVE_INFINITY;

  constructor(program: string, netns: string, address: string) {
    this.address = address;
    this.#tool = startRecordTool(program, [netns, address], recordBytes, (records) => this.#take(records));
  }

  #take(records: Buffer): void {
    for (let offset = 0; offset < records.length; offset += recordBytes) {
      const tag = records.readBigUInt64LE(offset);
      const atMs = msOfNs(records.readBigUInt64LE(offset + 8));
      if ((tag & 1n) === 0n) {
        this.#probes.push({ sentMs: atMs, answeredMs: undefined });
        continue;
      }
      const probe = this.#probes[Number(tag >> 1n) - 1 - this.#forgotten];
      if (probe !== undefined) probe.answeredMs ??= atMs;
      this.#lastAnswerMs = Math.max(this.#lastAnswerMs, atMs);
    }
  }

  /** Whether every probe of the last `forMs` was answered, but the ones just under way; a reason if not. */
  answering(forMs: number): string | undefined {
    const failure = this.#tool.failure();
    if (failure !== undefined) return failure;
    const now = nowMs();
    if (this.#lastAnswerMs < now - 100) {
      return Number.isFinite(this.#lastAnswerMs)
        ? `the virtual IP has not answered for ${((now - this.#lastAnswerMs) / 1000).toFixed(1)} s`
        : 'the virtual IP has never answered';
    }
    const recent = this.#between(now - forMs, now - 30);
    const lost = recent.filter((probe) => probe.answeredMs === undefined).length;
    if (recent.length < forMs / 4) return 'the prober has not sent enough probes yet';
    return lost === 0 ? undefined : `${lost} of the last ${recent.length} probes were not answered`;
  }

  /** The first answer to a probe sent after `sinceMs`, or undefined. */
  firstAnswerAfter(sinceMs: number): number | undefined {
    return this.#between(sinceMs, Number.POSITIVE_INFINITY).find((probe) => probe.answeredMs !== undefined)?.answeredMs;
  }

  /** Judges what was sent in a stretch of time, once late answers had their chance. */
  async judge(fromMs: number, untilMs: number): Promise<ClientView> {
    await waitUntil(
      'the prober',
      () => {
        const failure = this.#tool.failure();
        if (failure !== undefined) throw new Error(failure);
        return (this.#probes.at(-1)?.sentMs ?? 0) > untilMs + patienceMs ? undefined : 'its records lag behind';
      },
      { deadlineMs: 5_000 },
    );
    return judgeClient(this.#between(fromMs, untilMs), untilMs + patienceMs);
  }

  end(): void {
    this.#tool.end();
  }

  /** Forgets what was sent before, so that a long lab does not grow. */
  forgetBefore(ms: number): void {
    const keepFrom = this.#indexOf(ms);
    this.#probes = this.#probes.slice(keepFrom);
    this.#forgotten += keepFrom;
  }

  #between(fromMs: number, untilMs: number): Probe[] {
    return this.#probes.slice(this.#indexOf(fromMs), this.#indexOf(untilMs));
  }

  /** The first probe sent at or after a time. */
  #indexOf(ms: number): number {
    let low = 0;
    let high = this.#probes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#probes[middle]?.sentMs ?? 0) < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
