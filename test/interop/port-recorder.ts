import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { lanDatagramPort } from '../../src/wire/lan-datagram.js';
import { waitUntil } from '../lab/wait.js';
import { advertFault, type Binding, bindingOf, describeFrame } from './binding.js';
import { type CapturedFrame, PcapReader } from './pcap.js';

/** What is recorded, as filters of pcap: all that binds addresses or claims mastership, or the adverts alone. */
const filters = {
  everything: `arp or ip proto 112 or ip6 proto 112 or icmp6 or udp port ${lanDatagramPort}`,
  adverts: 'ip proto 112 or ip6 proto 112',
} as const;
export type Recorded = keyof typeof filters;

/** Everything a router says on its switch port about addresses and mastership, kept as a capture file as well. */
export class PortRecorder {
  readonly #tcpdump: ChildProcessByStdio<null, Readable, Readable>;
  readonly #reader = new PcapReader();
  #frames: CapturedFrame[] = [];
  #said = '';

  /** @param file where the capture goes, for whoever wants to look at it with other tools. */
  constructor(netns: string, port: string, file: string, what: Recorded = 'everything') {
    const how = ['-Q', 'in', '-n', '-s', '256', '-U', '--immediate-mode', '-Z', 'root'];
    const args = ['-i', port, ...how, '-w', '-', filters[what]];
    this.#tcpdump = spawn('ip', ['netns', 'exec', netns, 'tcpdump', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    // Held open: what tcpdump still had to say may come when the folder is gone already, together with the network.
    const capture = openSync(file, 'a');
    this.#tcpdump.stdout.on('data', (piece: Buffer) => {
      for (let at = 0; at < piece.length; ) at += writeSync(capture, piece, at);
      this.#frames.push(...this.#reader.take(piece));
    });
    this.#tcpdump.stdout.on('close', () => closeSync(capture));
    this.#tcpdump.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
  }

  async ready(): Promise<void> {
    const listening = () => (/listening on/.test(this.#said) ? undefined : `tcpdump says: ${this.#said.trim()}`);
    await waitUntil('tcpdump to listen', listening, { deadlineMs: 5_000 });
  }

  /** Ends the capture once everything seen has been read. Throws where frames were lost. */
  async stop(): Promise<void> {
    if (this.#tcpdump.exitCode === null) this.#tcpdump.kill('SIGINT');
    const ended = () => (this.#tcpdump.stdout.readableEnded && this.#tcpdump.exitCode !== null ? undefined : 'it runs');
    await waitUntil('tcpdump to end', ended, { deadlineMs: 5_000 });
    const dropped = /(\d+) packets? dropped by kernel/.exec(this.#said)?.[1];
    if (dropped !== '0') throw new Error(`tcpdump lost frames: ${this.#said.trim()}`);
  }

  /** Everything so far, oldest first. */
  get frames(): readonly CapturedFrame[] {
    return this.#frames;
  }

  /** What the router told others about an address. */
  bindings(address: string): Binding[] {
    return this.#frames.flatMap(({ bytes }) => {
      const binding = bindingOf(bytes);
      return binding?.address === address ? [binding] : [];
    });
  }

  /** The adverts that no receiver should take, each with the reason. */
  faultyAdverts(virtualMac: string, unicast: boolean): string[] {
    return this.#frames.flatMap(({ bytes }) => {
      const fault = advertFault(bytes, virtualMac, unicast);
      return fault === undefined ? [] : [`${fault}: ${describeFrame(bytes)}`];
    });
  }

  /** The last adverts, and the last of the rest, a line each, with their time. */
  lastFrames(): string[] {
    const lines = this.#frames.map(
      ({ atSeconds, bytes }) => `${(atSeconds % 1000).toFixed(3)} ${describeFrame(bytes)}`,
    );
    const isAdvert = (line: string) => / (vrrp|carp) id /.test(line);
    return [...lines.filter(isAdvert).slice(-8), ...lines.filter((line) => !isAdvert(line)).slice(-6)];
  }
}
