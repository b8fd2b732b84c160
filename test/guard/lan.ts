/** Two namespaces joined by a veth pair: a router with virtual MAC links, and a peer that hears its frames. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

export const linkGroup = 0x4b01;

export interface Lan {
  readonly router: string;
  readonly peer: string;
  remove(): void;
}

let lans = 0;

/**
 * The router's namespace: parent `up0` (10.9.0.1/24, and 10.9.0.9/32 that nobody registers), vMAC links `v1` and `v2` in
 * the group with their addresses, a macvlan `other` outside it.
 */
export function makeLan(): Lan {
  const name = `kt${process.pid}g${lans++}`;
  const [router, peer] = [`${name}r`, `${name}p`];
  const remove = () => {
    for (const namespace of [router, peer]) {
      try {
        ip('netns', 'del', namespace);
      } catch {
        // It was not made, or is gone already.
      }
    }
  };
  try {
    for (const namespace of [router, peer]) ip('netns', 'add', namespace);
    ip('-n', router, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peer);
    ip('-n', peer, 'addr', 'add', '10.9.0.2/24', 'dev', 'eth0');
    ip('-n', peer, 'link', 'set', 'eth0', 'up');
    ip('-n', router, 'addr', 'add', '10.9.0.1/24', 'dev', 'up0');
    ip('-n', router, 'addr', 'add', '10.9.0.9/32', 'dev', 'up0');
    ip('-n', router, 'link', 'set', 'up0', 'up');
    for (const [link, mac, group] of [
      ['v1', '00:00:5e:00:01:01', linkGroup],
      ['v2', '00:00:5e:00:01:02', linkGroup],
      ['other', '02:00:00:00:00:03', 0],
    ] as const) {
      const type = ['type', 'macvlan', 'mode', 'private'];
      ip('-n', router, 'link', 'add', link, 'link', 'up0', 'address', mac, 'group', String(group), ...type);
      ip('-n', router, 'link', 'set', link, 'addrgenmode', 'none');
      ip('-n', router, 'link', 'set', link, 'up');
    }
    for (const [link, address] of [
      ['v1', '10.9.0.101/32'],
      ['v1', '10.9.0.102/32'],
      ['v1', '2001:db8::101/128'],
      ['v2', '10.9.0.201/32'],
      ['other', '10.9.0.77/32'],
    ] as const) {
      ip('-n', router, 'addr', 'add', address, 'dev', link, ...(address.includes(':') ? ['nodad'] : []));
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { router, peer, remove };
}

export function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export function ifindexOf(namespace: string, link: string): number {
  const [found] = JSON.parse(ip('-n', namespace, '-j', 'link', 'show', 'dev', link)) as { ifindex: number }[];
  if (found === undefined) throw new Error(`${link} is not in ${namespace}`);
  return found.ifindex;
}

/** `link address` of every address but those of link scope, and `link` of every link: what a test compares. */
export function stateOf(namespace: string): { links: string[]; addresses: string[] } {
  const links = JSON.parse(ip('-n', namespace, '-j', 'addr', 'show')) as {
    ifname: string;
    addr_info: { local: string; scope: string }[];
  }[];
  return {
    links: links.map((link) => link.ifname).sort(),
    addresses: links
      .flatMap((link) => link.addr_info.filter((a) => a.scope === 'global').map((a) => `${link.ifname} ${a.local}`))
      .sort(),
  };
}

/**
 * A whole frame from a virtual MAC that any host can hear without a raw socket: UDP to 255.255.255.255:9000, or to one
 * host, whose payload names it. To the guard a frame is but bytes.
 */
export function audibleFrame(text: string, to: readonly number[] = [255, 255, 255, 255]): number[] {
  const payload = [...new TextEncoder().encode(text)];
  const udp = [0x23, 0x28, 0x23, 0x28, 0, 8 + payload.length, 0, 0, ...payload];
  const header = [0x45, 0, 0, 20 + udp.length, 0, 0, 0, 0, 255, 17, 0, 0, 10, 9, 0, 1, ...to];
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += ((header[i] ?? 0) << 8) | (header[i + 1] ?? 0);
  sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
  header[10] = sum >>> 8;
  header[11] = sum & 0xff;
  const ethernet = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x5e, 0, 1, 1, 8, 0];
  return [...ethernet, ...header, ...udp];
}

const hearer = `
  const socket = require('node:dgram').createSocket('udp4');
  const say = (object) => process.stdout.write(JSON.stringify(object) + '\\n');
  socket.on('message', (bytes) => say({ event: 'heard', text: bytes.toString(), ns: String(process.hrtime.bigint()) }));
  socket.bind(9000, () => say({ event: 'listening' }));
`;

export interface Said {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** A child inside a namespace whose lines of JSON can be awaited, each with a deadline. */
export class Speaker {
  readonly child: ChildProcess;
  readonly said: Said[] = [];
  readonly #wakers = new Set<() => void>();

  constructor(namespace: string, nodeArguments: string[]) {
    this.child = spawn('ip', ['netns', 'exec', namespace, process.execPath, ...nodeArguments], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream !== null) this.#listen(createInterface({ input: stream }));
    }
  }

  #listen(lines: Interface): void {
    lines.on('line', (line) => {
      this.said.push(line.startsWith('{') ? (JSON.parse(line) as Said) : { event: 'noise', line });
      for (const wake of this.#wakers) wake();
    });
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  /** Resolves with the `nth` (from 1) thing said whose event is `event` and that `matches`. */
  hear(event: string, matches: (said: Said) => boolean = () => true, nth = 1, timeoutMs = 10_000): Promise<Said> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.said.filter((said) => said.event === event && matches(said))[nth - 1];
        if (found === undefined) return;
        this.#wakers.delete(look);
        clearTimeout(timer);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#wakers.delete(look);
        reject(new Error(`no ${event} within ${timeoutMs} ms; said: ${JSON.stringify(this.said)}`));
      }, timeoutMs);
      this.#wakers.add(look);
      look();
    });
  }

  /** The exit of the child: code and signal. */
  async exit(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    return { code: this.child.exitCode, signal: this.child.signalCode };
  }

  /** Resolves when nobody holds the child's stderr any more, which its guard shares. */
  async silence(): Promise<void> {
    const { stderr } = this.child;
    if (stderr !== null && !stderr.destroyed && !stderr.readableEnded) await once(stderr, 'close');
  }
}

export async function listenOn(namespace: string): Promise<Speaker> {
  const speaker = new Speaker(namespace, ['-e', hearer]);
  await speaker.hear('listening');
  return speaker;
}
