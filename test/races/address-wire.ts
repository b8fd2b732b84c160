import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { compile } from '../lab/compile.js';
import { judgeBinding, parseFrame, type RecordedFrame, spokenFor } from '../lab/frames.js';
import { startLineTool, type Tool } from '../lab/tool.js';
import { waitUntil } from '../lab/wait.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const lab = join(root, 'test/lab');
const deadlineMs = 10_000;

/** What was heard in the name of virtual addresses. */
export interface Spoken {
  readonly right: number;
  /** Each as a line for people. */
  readonly wrong: readonly string[];
}

/** Nobody has spoken for the addresses. */
export const silence: Spoken = { right: 0, wrong: [] };

/**
 * What the client's wire carries in the name of virtual addresses: ARP and neighbour discovery in which somebody is one of
 * them, which decides where clients send. Other replies leave by the parent, with its MAC, by design.
 */
export class AddressWire {
  readonly #tool: Tool;
  readonly #virtualMacs: ReadonlyMap<string, string>;
  readonly #right = new Map<string, number>();
  readonly #wrong = new Map<string, string[]>();
  #asked = 0;
  #marks = 0;
  #dropped = 0;
  #isReady = false;

  /** @param virtualMacs of the addresses that are listened for */
  constructor(netns: string, device: string, virtualMacs: Readonly<Record<string, string>>) {
    this.#virtualMacs = new Map(Object.entries(virtualMacs));
    const record = compile(lab, 'record', join(root, '.lab/bin'));
    this.#tool = startLineTool(record, ['--without-adverts', `${netns}/${device}/client`], (line) => this.#take(line));
  }

  ready(): Promise<number> {
    const notYet = () => (this.#isReady ? undefined : 'not yet');
    return waitUntil('the recorder to listen', () => this.#tool.failure() ?? notYet(), { deadlineMs });
  }

  #take(line: string): void {
    if (line.endsWith(' - - ready')) this.#isReady = true;
    if (line.endsWith(' - - mark')) this.#marks += 1;
    this.#dropped += Number(/ - dropped (\d+)$/.exec(line)?.[1] ?? 0);
    const frame = parseFrame(line);
    if (frame === undefined) return;
    const asked = askedFor(frame);
    if (asked !== undefined && this.#virtualMacs.has(asked)) this.#asked += 1;
    const address = spokenFor(frame);
    if (address === undefined || !this.#virtualMacs.has(address)) return;
    const reason = judgeBinding(frame, this.#virtualMacs);
    if (reason === undefined) this.#right.set(address, (this.#right.get(address) ?? 0) + 1);
    else this.#wrong.set(address, [...(this.#wrong.get(address) ?? []), `${reason}: ${line}`]);
  }

  /**
   * So far, for one of the addresses, or all.
   * @throws Error where the record is not complete
   */
  spoken(address?: string): Spoken {
    const failure = this.#tool.failure();
    if (failure !== undefined) throw new Error(failure);
    if (this.#dropped > 0) throw new Error(`the record is not complete: ${this.#dropped} frames were dropped`);
    const addresses = address === undefined ? [...this.#virtualMacs.keys()] : [address];
    return {
      right: addresses.reduce((sum, each) => sum + (this.#right.get(each) ?? 0), 0),
      wrong: addresses.flatMap((each) => this.#wrong.get(each) ?? []),
    };
  }

  /** As {@link spoken}, with every frame that has come until now. */
  async heard(address?: string): Promise<Spoken> {
    const wanted = this.#marks + 1;
    this.#tool.say('\n');
    const notYet = () => (this.#marks >= wanted ? undefined : 'no mark');
    await waitUntil('the recorder', () => this.#tool.failure() ?? notYet(), { deadlineMs, everyMs: 2 });
    return this.spoken(address);
  }

  /** Somebody speaks for the address, and nobody wrongly. */
  async expectNothingWrong(address?: string): Promise<void> {
    const { right, wrong } = await this.heard(address);
    expect(wrong).toEqual([]);
    expect(right, 'somebody speaks for it').toBeGreaterThan(0);
  }

  /** It was asked for, and nobody has spoken for it. */
  async expectSilence(): Promise<void> {
    expect(await this.heard()).toEqual(silence);
    expect(this.#asked, 'somebody asks for it').toBeGreaterThan(0);
  }

  stop(): void {
    this.#tool.end();
  }
}

function askedFor(frame: RecordedFrame): string | undefined {
  if (frame.kind === 'arp') return frame.targetIp === frame.senderIp ? undefined : frame.targetIp;
  return frame.kind === 'ndp' && frame.type === 135 ? frame.target : undefined;
}
