import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { PcapReader } from '../interop/pcap.js';
import { waitUntil } from '../lab/wait.js';

/** One VRRPv3 advert as the peer's wire had it. */
export interface SeenAdvert {
  readonly atMs: number;
  readonly id: number;
  readonly priority: number;
  readonly intervalMs: number;
  readonly addresses: readonly string[];
}

const ethernetBytes = 14;
const vrrp = 112;

/** The adverts that arrive at the other end of a wire, with the kernel's own times. */
export class AdvertRecorder {
  readonly #tcpdump: ChildProcessByStdio<null, Readable, Readable>;
  readonly #reader = new PcapReader();
  readonly #adverts: SeenAdvert[] = [];
  #said = '';

  constructor(netns: string, device: string) {
    const args = ['-i', device, '-Q', 'in', '-n', '-s', '128', '-U', '--immediate-mode', '-Z', 'root', '-w', '-'];
    this.#tcpdump = spawn('ip', ['netns', 'exec', netns, 'tcpdump', ...args, 'ip proto 112'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#tcpdump.stdout.on('data', (piece: Buffer) => {
      for (const { bytes, atSeconds } of this.#reader.take(piece)) this.#take(bytes, atSeconds * 1000);
    });
    this.#tcpdump.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
  }

  async ready(): Promise<void> {
    const listening = () => (/listening on/.test(this.#said) ? undefined : `tcpdump says: ${this.#said.trim()}`);
    await waitUntil('tcpdump to listen', listening, { deadlineMs: 5_000 });
  }

  async stop(): Promise<void> {
    if (this.#tcpdump.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#tcpdump.once('exit', resolve));
    this.#tcpdump.kill('SIGINT');
    await ended;
  }

  /** Those of one virtual router, from a time on. */
  of(id: number, fromMs = 0): readonly SeenAdvert[] {
    return this.#adverts.filter((advert) => advert.id === id && advert.atMs >= fromMs);
  }

  last(id: number): SeenAdvert | undefined {
    return this.of(id).at(-1);
  }

  /** The longest silence of a virtual router between two of its adverts, in milliseconds. */
  longestGapMs(id: number, fromMs: number): number {
    const times = this.of(id, fromMs).map(({ atMs }) => atMs);
    return Math.max(0, ...times.slice(1).map((atMs, index) => atMs - (times[index] ?? atMs)));
  }

  #take(frame: Uint8Array, atMs: number): void {
    const ip = ethernetBytes;
    if (frame[ip + 9] !== vrrp) return;
    const at = ip + ((frame[ip] ?? 0) & 0x0f) * 4;
    const octet = (offset: number): number => frame[at + offset] ?? 0;
    const addresses = Array.from({ length: octet(3) }, (_, index) =>
      Array.from(frame.subarray(at + 8 + index * 4, at + 12 + index * 4)).join('.'),
    );
    const intervalMs = (((octet(4) & 0x0f) << 8) | octet(5)) * 10;
    this.#adverts.push({ atMs, id: octet(1), priority: octet(2), intervalMs, addresses });
  }
}
