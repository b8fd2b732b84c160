import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Announcer } from '../../src/attach/announcer.js';
import type { Attachment, AttachSpec } from '../../src/attach/attachment.js';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { keepForgetting } from '../attach/neighbours.js';
import { good, ip } from '../kernel/cable.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const parentAddress = '10.77.0.1';

/** What the switch has seen of the host. */
export interface Counts {
  readonly asked: number;
  /** Frames that bind a virtual IP to its virtual MAC, or to another. */
  readonly right: number;
  readonly wrong: number;
  readonly kinds: Readonly<Record<string, number>>;
  /** Frames by Ethernet source, and by those of the addresses that were asked for which speak in them as a sender. */
  readonly sources: Readonly<Record<string, number>>;
  readonly speakers: Readonly<Record<string, number>>;
  readonly seen: number;
  /** Lost by the recorder: must be 0, or nothing is proven. */
  readonly dropped: number;
}

/**
 * This host with two interfaces into one switch, from which everything asks:
 *
 *     host: eth1 (10.77.0.1, fd77::1) ── p1 ┐
 *           eth2                      ── p2 ┴ br0 (10.77.0.100, fd77::100)
 */
export class RaceSegment {
  readonly parent: number;
  readonly #netlink = Netlink.open();
  readonly #lanSwitch: string;
  readonly #sending: PacketSocket;
  readonly #stopForgetting: () => void;

  constructor() {
    const lanSwitch = process.env.KOI_TEST_SWITCH;
    if (lanSwitch === undefined) throw new Error('run this suite through carp-attach.test.ts');
    this.#lanSwitch = lanSwitch;
    ip(`-n ${lanSwitch} link add br0 type bridge mcast_snooping 0`);
    ip(`-n ${lanSwitch} link set br0 up`);
    for (const [name, port] of [
      ['eth1', 'p1'],
      ['eth2', 'p2'],
    ]) {
      ip(`link add ${name} type veth peer name ${port} netns ${lanSwitch}`);
      ip(`link set ${name} addrgenmode none`);
      ip(`-n ${lanSwitch} link set ${port} addrgenmode none`);
      ip(`-n ${lanSwitch} link set ${port} master br0`);
      ip(`-n ${lanSwitch} link set ${port} up`);
      ip(`link set ${name} up`);
    }
    ip(`addr add ${parentAddress}/24 dev eth1`);
    ip('addr add fd77::1/64 dev eth1 nodad');
    ip('addr add fe80::1:1/64 dev eth1 nodad');
    ip(`-n ${lanSwitch} addr add 10.77.0.100/24 dev br0`);
    ip(`-n ${lanSwitch} addr add fd77::100/64 dev br0 nodad`);
    this.parent = good(getLink(this.#netlink, 'eth1')).ifindex;
    this.#sending = PacketSocket.open({ ifindex: this.parent, protocol: etherProtocol.none });
    this.#stopForgetting = keepForgetting(this.parent, ['10.77.0.100']);
  }

  /** @param sending where it goes out; by this segment's parent, if nothing else is said */
  announcer({ virtualMac, addresses }: AttachSpec, sending: PacketSocket = this.#sending): Announcer {
    return new Announcer({
      virtualMac,
      addresses,
      send: (frames) => sending.send(frames).sent,
      onSent: () => undefined,
      onFailed: () => undefined,
      onRefused: () => undefined,
    });
  }

  /** Asks for these, so many times a second in all, and counts. @param rivals a host claims them as well, as often */
  async watch(
    specs: readonly Pick<AttachSpec, 'addresses' | 'virtualMac'>[],
    requestsPerSecond: number,
    rivals = false,
  ): Promise<WireWatch> {
    const bindings = specs.flatMap(({ addresses, virtualMac }) => addresses.map((vip) => `${vip}=${virtualMac}`));
    const program = ['--import', 'tsx', fileURLToPath(new URL('./wire-watch.ts', import.meta.url))];
    const args = ['netns', 'exec', this.#lanSwitch, process.execPath, ...program, `${requestsPerSecond}`, 'p1,p2'];
    if (rivals) args.push('rivals');
    const child = spawn('ip', [...args, ...bindings], { stdio: ['pipe', 'pipe', 'inherit'], cwd: root });
    const watch = new WireWatch(child);
    await watch.next();
    return watch;
  }

  remove(): void {
    this.#stopForgetting();
    this.#sending.close();
    this.#netlink.close();
    for (const port of ['p1', 'p2', 'br0']) ip(`-n ${this.#lanSwitch} link del ${port}`);
  }
}

const lineDeadlineMs = 15_000;

export class WireWatch {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async next(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the watch says nothing within ${lineDeadlineMs} ms`)), lineDeadlineMs);
    });
    try {
      const line = await Promise.race([this.#lines.next(), late]);
      if (line.done === true) throw new Error('the watch has ended');
      return line.value;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when there have been so many right answers from now on. */
  async answered(count: number): Promise<void> {
    this.#child.stdin.write(`answered ${count}\n`);
    const answer = await this.next();
    if (answer !== 'answered')
      throw new Error(`not ${count} right answers within 5 s: ${JSON.stringify(await this.counts())}`);
  }

  async counts(): Promise<Counts> {
    this.#child.stdin.write('report\n');
    return JSON.parse(await this.next()) as Counts;
  }

  async end(): Promise<Counts> {
    const counts = await this.counts();
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await ended;
    return counts;
  }
}

/** One takeover and release each time, answered in between. */
export async function attachCycles(
  count: number,
  { attachments, segment, watch, answers = 50, onRefused }: CyclePlace,
): Promise<void> {
  const announcers = attachments.map(({ spec }) => segment.announcer(spec));
  for (let cycle = 0; cycle < count; cycle++) {
    const attaches = attachments.map(async (attachment, index) => {
      try {
        announcers[index]?.announce(await attachment.attach(segment.parent));
      } catch (error) {
        if (onRefused === undefined) throw error;
        onRefused((error as Error).message);
      }
    });
    await Promise.all(attaches);
    await watch?.answered(answers);
    for (const attachment of attachments) attachment.detach();
    await Promise.all(attachments.map((attachment) => attachment.remake()));
  }
}

export interface CyclePlace {
  readonly attachments: readonly Attachment[];
  readonly segment: RaceSegment;
  readonly watch?: WireWatch;
  readonly answers?: number;
  /** An attach that the kernel kept waiting beyond its deadline, and that has undone itself; default: it fails the test. */
  readonly onRefused?: (why: string) => void;
}
