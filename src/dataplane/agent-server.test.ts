import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { leaveStaleSocket } from '../../test/daemon/stale-socket.js';
import { protocolVersion, type ToDataplane, type VrStateMessage } from '../ipc/protocol.js';
import type { KoiError } from '../koi-error.js';
import { AgentServer, type KeptNews } from './agent-server.js';

type Line = { readonly type: string; readonly number?: number; readonly [key: string]: unknown };

/** The other end of the socket, as raw lines. */
class RawAgent {
  readonly socket: Socket;
  readonly lines: Line[] = [];
  onLine: (line: Line) => void = () => undefined;
  closed = false;

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.closed = true;
    });
    createInterface({ input: this.socket })
      .on('line', (line) => {
        if (this.closed) return;
        const said = JSON.parse(line) as Line;
        this.lines.push(said);
        this.onLine(said);
      })
      .on('error', () => undefined);
    agents.push(this);
  }

  say(message: unknown): this {
    this.socket.write(`${JSON.stringify(message)}\n`);
    return this;
  }

  hello(over: Partial<Extract<ToDataplane, { type: 'hello' }>> = {}): this {
    return this.say({ type: 'hello', protocol: protocolVersion, node: 'r1', pid: 7, ...over });
  }

  async hears(count: number): Promise<readonly Line[]> {
    await vi.waitFor(() => expect(this.lines.length).toBeGreaterThanOrEqual(count), { timeout: 5000 });
    return this.lines;
  }

  async ends(): Promise<void> {
    await vi.waitFor(() => expect(this.closed).toBe(true), { timeout: 5000 });
  }
}

let dir: string;
let path: string;
let server: AgentServer;
let agents: RawAgent[] = [];
let received: string[];
let ups: number;
let downs: (KoiError | undefined)[];
let refusals: KoiError[];

const listen = (): Promise<AgentServer> =>
  AgentServer.listen({
    path,
    hello: () => ({ type: 'hello', protocol: protocolVersion, node: 'r1', boot: 'b1', pid: 1, digest: 'd1', vrs: [] }),
    onMessage: (message) => received.push(message.type),
    onUp: () => {
      ups += 1;
    },
    onDown: (cause) => downs.push(cause),
    onRefused: (cause) => refusals.push(cause),
  });

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'koi-dp-'));
  path = join(dir, 'koi.dataplane.sock');
  [agents, received, ups, downs, refusals] = [[], [], 0, [], []];
  server = await listen();
});
afterEach(() => {
  for (const { socket } of agents) socket.destroy();
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

const repaired = (object: string): KeptNews => ({
  type: 'repaired',
  wallMs: 1,
  monotonicMs: 1,
  vr: 'gw',
  kind: 'link_deleted',
  object,
});
const released = (term: number): KeptNews => ({
  type: 'released',
  wallMs: 1,
  monotonicMs: 1,
  vr: 'gw',
  term,
  reason: 'shutdown',
  resigned: true,
});
const answer = {
  type: 'claimAnswer',
  vr: 'gw',
  claim: 'c1',
  term: 1,
  answer: { kind: 'stored', sequence: 4 },
} as const;
const numbers = (agent: RawAgent): (number | undefined)[] =>
  agent.lines.filter(({ number }) => number !== undefined).map(({ number }) => number);
const stateOf = (warning: string): VrStateMessage => ({
  vr: 'gw',
  state: 'backup',
  reason: 'started',
  term: 0,
  standing: null,
  sinceWallMs: 1,
  lastFrom: null,
  heardMaster: null,
  interface: 'eth1',
  virtualMac: '00:00:5e:00:01:33',
  lanAddress: null,
  priority: 100,
  tracks: [],
  warnings: [warning],
});

/** An agent that takes whatever it is sent. */
function takingAgent(): RawAgent {
  const agent = new RawAgent(path).hello();
  agent.onLine = ({ number }) => {
    if (number !== undefined) agent.say({ type: 'taken', number });
  };
  return agent;
}

describe('the agent server', () => {
  it('greets an agent, tells that it is there, and passes on what it says', async () => {
    expect([server.up, server.send({ type: 'bye' })]).toEqual([false, false]);
    const agent = new RawAgent(path).hello();
    expect(await agent.hears(1)).toMatchObject([{ type: 'hello', node: 'r1', boot: 'b1' }]);
    expect([server.up, ups]).toEqual([true, 1]);
    agent.say(answer);
    await vi.waitFor(() => expect(received).toEqual(['claimAnswer']));
    expect(server.send({ type: 'bye' })).toBe(true);
    expect((await agent.hears(2))[1]).toEqual({ type: 'bye' });
  });

  it('lets only the owner and the group in', () => {
    expect(statSync(path).mode & 0o777).toBe(0o660);
  });

  it('keeps what must arrive for the next agent, and sends again what was not taken', async () => {
    for (const object of ['a', 'b', 'c']) server.keep(repaired(object));
    const first = new RawAgent(path).hello();
    expect((await first.hears(4)).slice(1).map(({ object }) => object)).toEqual(['a', 'b', 'c']);
    first.say({ type: 'taken', number: 1 }).say({ type: 'taken', number: 3 });
    first.socket.end();
    await vi.waitFor(() => expect(downs).toHaveLength(1));
    expect(server.up).toBe(false);
    server.keep(repaired('d'));
    const second = new RawAgent(path).hello();
    await second.hears(3);
    expect(numbers(second)).toEqual([2, 4]);
  });

  it('sends a release at once, ahead of what was only observed, once and to the next agent as well', async () => {
    const first = new RawAgent(path).hello();
    await first.hears(1);
    server.keep(repaired('a'));
    server.keep(released(1));
    server.keep(repaired('b'));
    await first.hears(4);
    expect(numbers(first)).toEqual([2, 1, 3]);
    first.socket.end();
    await vi.waitFor(() => expect(downs).toHaveLength(1));
    const second = new RawAgent(path).hello();
    await second.hears(4);
    expect(numbers(second)).toEqual([2, 1, 3]);
  });

  it('keeps a bounded number, and gives up the oldest observations before any release', async () => {
    server.keep(released(1));
    for (let i = 0; i < 10_004; i += 1) server.keep(repaired(`o${i}`));
    server.keep(released(2));
    expect(server.dropped).toBe(6);
    const agent = takingAgent();
    await agent.hears(10_001);
    expect(await server.drained(1000)).toBe(true);
    const kept = numbers(agent);
    expect([kept.length, kept.slice(0, 3), kept.at(-1)]).toEqual([10_000, [1, 10_006, 8], 10_005]);
  });

  it('keeps a bounded number even of releases', () => {
    for (let i = 0; i < 10_010; i += 1) server.keep(released(i));
    expect(server.dropped).toBe(10);
  });

  it('says when everything was taken, and does not wait where nobody takes', async () => {
    expect(await server.drained(1)).toBe(true);
    server.keep(repaired('a'));
    expect(await server.drained(10_000)).toBe(false);
    const agent = new RawAgent(path).hello();
    await agent.hears(2);
    expect(await server.drained(1)).toBe(false);
    const taken = server.drained(10_000);
    agent.say({ type: 'taken', number: 1 });
    expect(await taken).toBe(true);
    server.keep(repaired('b'));
    const inVain = server.drained(10_000);
    agent.socket.destroy();
    expect(await inVain).toBe(false);
  });

  it('gives the newest of two agents its place; the older one is shut out', async () => {
    const older = new RawAgent(path).hello();
    await older.hears(1);
    const newer = new RawAgent(path).hello();
    await newer.hears(1);
    await older.ends();
    expect([server.up, ups, downs]).toEqual([true, 2, []]);
    server.keep(repaired('a'));
    await newer.hears(2);
    expect(numbers(older)).toEqual([]);
  });

  it('hears nothing from whoever has not said hello, and does not let it stay', async () => {
    server.keep(repaired('a'));
    const mute = new RawAgent(path).say({ type: 'taken', number: 1 }).say(answer);
    await mute.ends();
    expect([received, mute.lines, server.up, downs]).toEqual([[], [], false, []]);
    const agent = new RawAgent(path).hello();
    await agent.hears(2);
    expect(numbers(agent)).toEqual([1]);
  });

  it('does not let those who come to stay without a word keep the agent out', async () => {
    for (let i = 0; i < 20; i += 1) new RawAgent(path);
    const enter = async (): Promise<void> => {
      const agent = new RawAgent(path).hello();
      await vi.waitFor(() => expect(agent.lines.length > 0 || agent.closed).toBe(true));
      expect(agent.lines).toHaveLength(1);
    };
    await vi.waitFor(enter, { timeout: 5000, interval: 100 });
  });

  it.each([
    ['of another protocol', { protocol: protocolVersion + 1 }, `protocol ${protocolVersion + 1}`],
    ['of another node', { node: 'r2' }, 'node r2'],
  ])('refuses an agent %s: says hello, tells of it once, and keeps the one it has', async (_, over, words) => {
    const good = new RawAgent(path).hello();
    await good.hears(1);
    for (let i = 0; i < 3; i += 1) {
      const bad = new RawAgent(path).hello(over);
      expect(await bad.hears(1)).toMatchObject([{ type: 'hello', node: 'r1', protocol: protocolVersion }]);
      await bad.ends();
    }
    expect(refusals).toMatchObject([
      { code: 'protocol', message: expect.stringContaining(words) as string, remedy: expect.any(String) as string },
    ]);
    expect([server.up, good.closed]).toEqual([true, false]);
  });

  it.each([
    ['garbage', 'garbage\n', 'not JSON'],
    ['an unknown message', '{"type":"reboot"}\n', 'another form'],
    ['a line without end', 'x'.repeat((1 << 20) + 70_000), 'over 1048576 bytes'],
  ])('ends an agent that sends %s, naming the cause, and takes the next one', async (_, bytes, cause) => {
    const agent = new RawAgent(path).hello();
    await agent.hears(1);
    agent.socket.write(bytes);
    await vi.waitFor(() => expect(downs).toHaveLength(1));
    expect(downs[0]).toMatchObject({ code: 'protocol', message: expect.stringContaining(cause) as string });
    const next = new RawAgent(path).hello();
    await next.hears(1);
    expect(server.up).toBe(true);
  });

  it('is not held up by an agent that does not read: that one is given up, and the next hears everything', async () => {
    const frozen = new RawAgent(path).hello();
    await frozen.hears(1);
    frozen.socket.pause();
    const snapshot = { type: 'state', state: stateOf('x'.repeat(100_000)) } as const;
    let kept = 0;
    for (; server.up && kept < 300; kept += 1) {
      server.keep(repaired(`o${kept}`));
      server.send(snapshot);
    }
    expect(downs).toMatchObject([{ code: 'protocol', message: 'the peer does not read what it is sent' }]);
    const next = takingAgent();
    await next.hears(kept + 1);
    expect(numbers(next)).toEqual(Array.from({ length: kept }, (_, index) => index + 1));
  });

  it('does not drown an agent that comes back in what was kept for it', async () => {
    const count = 9000;
    for (let i = 0; i < count; i += 1) server.keep(repaired('x'.repeat(2000)));
    const agent = takingAgent();
    await agent.hears(count + 1);
    expect(await server.drained(1000)).toBe(true);
    expect([downs, numbers(agent).length]).toEqual([[], count]);
  });

  it('takes the place of a socket file that a dead dataplane left', async () => {
    server.close();
    leaveStaleSocket(path);
    server = await listen();
    await new RawAgent(path).hello().hears(1);
  });

  it('does not take the place of a dataplane that runs', async () => {
    await expect(listen()).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining(path) as string,
      remedy: expect.any(String) as string,
    });
    await new RawAgent(path).hello().hears(1);
  });

  it('takes its socket file along', async () => {
    const agent = new RawAgent(path).hello();
    await agent.hears(1);
    server.send({ type: 'bye' });
    server.close();
    await once(agent.socket, 'close');
    expect(agent.lines.at(-1)).toEqual({ type: 'bye' });
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  });
});
