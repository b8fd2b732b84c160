import {
  judgeBinding,
  longestAdvertGapMs,
  parseFrame,
  type RecordedFrame,
  spokenFor,
  type WrongMacReason,
} from './frames.js';
import { type Setup, virtualMacOf } from './setup.js';
import { startLineTool, type Tool } from './tool.js';
import type { Topology } from './topology.js';
import { waitUntil } from './wait.js';

/** A frame that broke the first promise. */
export interface WrongFrame {
  readonly frame: RecordedFrame;
  readonly reason: WrongMacReason;
}

/**
 * Watches the client's wire and every router's switch port, all the time: ARP, neighbour discovery, adverts, and whatever else a router
 * sends from the virtual MAC.
 */
export class Recorder {
  readonly #tool: Tool;
  readonly #virtualMacs: ReadonlyMap<string, string>;
  #frames: RecordedFrame[] = [];
  #dropped = 0;
  #ready = false;

  constructor(program: string, topology: Topology, { virtualRouters, advertsUnrecorded }: Setup) {
    this.#virtualMacs = new Map(virtualRouters.map((each) => [each.address, virtualMacOf(each)]));
    const ports = [
      ...(advertsUnrecorded === true ? ['--without-adverts'] : []),
      `${topology.clientNetns}/eth1/client`,
      ...topology.routers.map((router) => `${topology.switchNetns}/${router.switchPort}/${router.name}`),
    ];
    this.#tool = startLineTool(program, ports, (line) => this.#take(line));
  }

  #take(line: string): void {
    const frame = parseFrame(line);
    if (frame !== undefined) {
      this.#frames.push(frame);
      return;
    }
    if (line.endsWith(' - - ready')) this.#ready = true;
    const dropped = / - dropped (\d+)$/.exec(line)?.[1];
    if (dropped !== undefined) this.#dropped += Number(dropped);
  }

  /** Resolves once every port is watched. */
  async ready(): Promise<void> {
    await waitUntil('the recorder', () => this.#failure() ?? (this.#ready ? undefined : 'its ports are not open yet'), {
      deadlineMs: 5_000,
    });
  }

  /** Why the record is not complete, or undefined where nothing was missed. */
  incomplete(): string | undefined {
    return this.#failure() ?? (this.#dropped > 0 ? `the kernel dropped ${this.#dropped} frames unseen` : undefined);
  }

  end(): void {
    this.#tool.end();
  }

  /** Every frame since a time that bound a VIP to another MAC than its own, on the client's wire or sent by a router. */
  wrongFrames(sinceMs: number): WrongFrame[] {
    return this.#since(sinceMs).flatMap((frame) => {
      // Towards a router's port the switch only repeats what another port received already.
      if (frame.port !== 'client' && frame.direction === 'out') return [];
      const reason = judgeBinding(frame, this.#virtualMacs);
      return reason === undefined ? [] : [{ frame, reason }];
    });
  }

  /** Everything a router sent since a time that claims mastership: adverts, ARP and neighbour discovery for a VIP, frames from a vMAC. */
  spokenBy(router: string, sinceMs: number): RecordedFrame[] {
    const virtualMacs = new Set(this.#virtualMacs.values());
    return this.#since(sinceMs).filter((frame) => {
      if (frame.port !== router || frame.direction !== 'in') return false;
      const address = spokenFor(frame);
      const speaksForVip = address !== undefined && this.#virtualMacs.has(address);
      return virtualMacs.has(frame.source) || frame.kind === 'vrrp' || speaksForVip;
    });
  }

  /** The longest time a router let pass between two adverts of a virtual router in a stretch of time. */
  advertGapMs(router: string, vrid: number, fromMs: number, untilMs: number): number | undefined {
    const times = this.#frames
      .filter((f) => f.kind === 'vrrp' && f.vrid === vrid && f.port === router && f.direction === 'in')
      .map((frame) => frame.atMs);
    return longestAdvertGapMs(times, fromMs, untilMs);
  }

  /** Forgets what is older; a margin stays, since gaps start before the event. */
  forgetBefore(ms: number): void {
    this.#frames = this.#since(ms);
  }

  /** Every frame of a stretch of time, in no strict order between ports. */
  between(fromMs: number, untilMs: number): readonly RecordedFrame[] {
    return this.#frames.filter((frame) => frame.atMs >= fromMs && frame.atMs <= untilMs);
  }

  #since(ms: number): RecordedFrame[] {
    return this.#frames.filter((frame) => frame.atMs >= ms);
  }

  #failure(): string | undefined {
    return this.#tool.failure();
  }
}
