import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AttachSpec } from '../../src/attach/attachment.js';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { arpProbe } from '../../src/wire/arp.js';
import { good, ip, milliseconds } from '../kernel/cable.js';
import { compile } from '../lab/compile.js';
import { judgeArp, parseFrame, type RecordedFrame } from '../lab/frames.js';
import { startLineTool, type Tool } from '../lab/tool.js';
import { keepForgetting } from './neighbours.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const lab = join(root, 'test/lab');

const named = (variable: string): string => {
  const name = process.env[variable];
  if (name === undefined) throw new Error(`${variable} is not set: run this suite through attach.test.ts`);
  return name;
};

export type ArpSeen = RecordedFrame & { readonly kind: 'arp' };

const clientAddress = '10.77.0.100';
const parentAddress = '10.77.0.1';

/**
 * This host with two interfaces in one broadcast domain, and a client that asks:
 *
 *     host: eth1 (10.77.0.1) ── p1 ┐
 *           eth2             ── p2 ┤ br0 (switch)
 *     client: eth1 (10.77.0.100) pc ┘
 */
export class Segment {
  readonly parent: number;
  readonly #netlink = Netlink.open();
  readonly #virtualRouters: readonly AttachSpec[];
  readonly #seen: ArpSeen[] = [];
  #client: ChildProcess | undefined;
  #stopForgetting: () => void = () => undefined;
  #recorder: Tool | undefined;
  #incomplete: string | undefined;
  #isReady = false;
  #marks = 0;

  constructor(virtualRouters: readonly AttachSpec[]) {
    this.#virtualRouters = virtualRouters;
    const [lanSwitch, client] = [named('KOI_TEST_SWITCH'), named('KOI_TEST_CLIENT')];
    ip(`-n ${lanSwitch} link add br0 type bridge`);
    ip(`-n ${lanSwitch} link set br0 up`);
    for (const [name, port, netns] of [
      ['eth1', 'p1', undefined],
      ['eth2', 'p2', undefined],
      ['eth1', 'pc', client],
    ] as const) {
      const there = netns === undefined ? '' : `-n ${netns} `;
      ip(`${there}link add ${name} type veth peer name ${port} netns ${lanSwitch}`);
      ip(`${there}link set ${name} addrgenmode none`);
      ip(`-n ${lanSwitch} link set ${port} master br0`);
      ip(`-n ${lanSwitch} link set ${port} up`);
      ip(`${there}link set ${name} up`);
    }
    ip(`addr add ${parentAddress}/24 dev eth1`);
    ip(`-n ${client} addr add ${clientAddress}/24 dev eth1`);
    this.parent = good(getLink(this.#netlink, 'eth1')).ifindex;
  }

  /** Starts the recorder, the asking client, and the flushing of everybody's neighbour caches. */
  async start(): Promise<void> {
    const [lanSwitch, client] = [named('KOI_TEST_SWITCH'), named('KOI_TEST_CLIENT')];
    const program = (name: string) => compile(lab, name, join(root, '.lab/bin'));
    const ports = [`${client}/eth1/client`, `${lanSwitch}/p1/p1`, `${lanSwitch}/p2/p2`];
    this.#recorder = startLineTool(program('record'), ports, (line) => this.#take(line));
    await this.#until(() => this.#isReady, 'the recorder');
    const bindings = this.#virtualRouters.map(({ addresses, virtualMac }) => `${addresses[0]}=${virtualMac}`);
    const flood = ['--import', 'tsx', fileURLToPath(new URL('./flood.ts', import.meta.url)), 'eth1', clientAddress];
    const command = ['netns', 'exec', client, process.execPath, ...flood, ...bindings];
    this.#client = spawn('ip', command, { stdio: ['pipe', 'ignore', 'inherit'], cwd: root });
    this.#stopForgetting = keepForgetting(this.parent, [clientAddress]);
    const asked = () => this.#seen.filter(({ operation, port }) => operation === 1 && port === 'client').length;
    await this.#until(() => asked() > 100, 'the client asking');
  }

  #take(line: string): void {
    if (line.endsWith(' - - ready')) this.#isReady = true;
    if (line.includes(' - dropped ')) this.#incomplete = line;
    const frame = parseFrame(line);
    if (frame?.kind === 'arp') this.#seen.push(frame);
  }

  /** Everything recorded since the last call, complete: a mark sent now has been seen on every port. */
  async frames(): Promise<readonly ArpSeen[]> {
    const mark = `10.77.9.${++this.#marks % 250}`;
    const socket = PacketSocket.open({ ifindex: this.parent, protocol: etherProtocol.none });
    const senderMac = good(getLink(this.#netlink, this.parent)).mac;
    if (senderMac === undefined) throw new Error('the parent has no MAC');
    socket.send([arpProbe({ senderMac, senderAddress: parentAddress, targetAddress: mark })]);
    socket.close();
    const portsThatSaw = () => new Set(this.#seen.filter(({ targetIp }) => targetIp === mark).map(({ port }) => port));
    await this.#until(() => portsThatSaw().size === 3, 'the mark in the record');
    if (this.#incomplete !== undefined) throw new Error(`the record is not complete: ${this.#incomplete}`);
    return this.#seen.splice(0);
  }

  /** Resolves when, since the last `frames()`, every virtual MAC has answered the client five times. */
  async answered(): Promise<void> {
    for (const { addresses, virtualMac } of this.#virtualRouters) {
      const isAnswer = ({ port, operation, senderIp, senderMac, targetIp }: ArpSeen) =>
        port === 'client' &&
        operation === 2 &&
        senderIp === addresses[0] &&
        senderMac === virtualMac &&
        targetIp === clientAddress;
      await this.#until(() => this.#seen.filter(isAnswer).length >= 5, `answers for ${addresses[0]}`);
    }
  }

  /** Resolves when, since the last `frames()`, the host has asked for the client in turn. */
  async asked(): Promise<void> {
    const isQuestion = ({ port, direction, operation, targetIp }: ArpSeen) =>
      port === 'p1' && direction === 'in' && operation === 1 && targetIp === clientAddress;
    await this.#until(() => this.#seen.some(isQuestion), 'the host asking for the client');
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    const deadlineMs = performance.now() + 5000;
    while (!condition()) {
      const failure = this.#recorder?.failure();
      if (failure !== undefined) throw new Error(failure);
      if (performance.now() > deadlineMs) throw new Error(`waited 5 s for ${what}`);
      await milliseconds(2);
    }
  }

  async remove(): Promise<void> {
    this.#stopForgetting();
    if (this.#client !== undefined) {
      const ended = once(this.#client, 'exit');
      this.#client.stdin?.end();
      await ended;
    }
    this.#netlink.close();
    for (const port of ['p1', 'p2', 'pc', 'br0']) ip(`-n ${named('KOI_TEST_SWITCH')} link del ${port}`);
  }
}

/** Frames that bind a VIP to another MAC than its virtual one, whoever sent them, whatever the opcode. */
export function wrongFrames(frames: readonly ArpSeen[], virtualRouters: readonly AttachSpec[]): ArpSeen[] {
  return frames.filter((frame) => {
    // Towards a port the switch only repeats what another port received already.
    if (frame.port !== 'client' && frame.direction === 'out') return false;
    return virtualRouters.some(({ addresses, virtualMac }) =>
      addresses.some((vip) => judgeArp(frame, vip, virtualMac) !== undefined),
    );
  });
}
