import { beforeEach, describe, expect, it } from 'vitest';
import { observation } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import type { SharedConfiguration } from '../core/config-version.js';
import { bootId, nodeId } from '../core/identity.js';
import type { ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import { configurationOf } from '../log/config-projection.js';
import { type MemoryLog, MemoryLogServer } from '../log/memory.js';
import { emptyLogState, fold, type LogState } from '../log/projection.js';
import { logNames } from '../log/subjects.js';
import { ConfigDesk } from './config-desk.js';

const names = logNames('edge');

const shared = (digest: string, ...addresses: string[]): SharedConfiguration & { addresses: string[] } => ({
  digest,
  protocol: 'carp',
  id: 51,
  addresses: ['10.0.0.1', ...addresses],
  form: 'password',
  key: 'k1',
});
const [a, b] = [shared('a'), shared('b', '10.0.0.2')];

/** For so long a node's word counts as a sign of life. */
const lifeMs = 4600;

let timers: ManualTimers;
let server: MemoryLogServer;
let nodes: Node[];
let types: string[];

/** One node: its log, its desk, and a dataplane that does as it is told. */
class Node {
  readonly log: MemoryLog = server.connect();
  readonly told: ToDataplane[] = [];
  readonly differences: (string | undefined)[] = [];
  readonly vrs = new Map<string, VrStateMessage>();
  readonly desk: ConfigDesk;
  state: LogState = emptyLogState;
  reachable = true;
  live = true;
  #ids = 0;

  constructor(readonly name: string) {
    this.log.follow({
      from: 1,
      onEvent: (stored) => {
        this.state = fold(this.state, names, stored);
        this.desk.look();
      },
    });
    this.desk = new ConfigDesk({
      log: this.log,
      cluster: 'edge',
      node: nodeId(name),
      boot: () => bootId(`${name}-1`),
      state: () => this.state,
      reachable: () => this.reachable,
      vrs: () => this.vrs,
      hasJustSpoken: (spokeAtMs) => timers.nowMs() < spokeAtMs + lifeMs,
      mayRun: ({ node }, spokeAtMs) =>
        nodes.find((other) => other.name === node)?.live === true || timers.nowMs() < spokeAtMs + lifeMs,
      send: (message) => {
        this.told.push(message);
        if (message.type === 'switchConfiguration') queueMicrotask(() => this.runs(this.prepared ?? a, null));
        return true;
      },
      newEventId: () => `${name}-event-${++this.#ids}`,
      clock: () => ({ wallMs: timers.nowMs(), monotonicMs: timers.nowMs() }),
      timers,
      onDiffers: (_vr, words) => this.differences.push(words),
    });
  }

  get prepared() {
    return this.vrs.get('gw')?.configuration?.prepared;
  }

  get running(): string | undefined {
    return this.vrs.get('gw')?.configuration?.running.digest;
  }

  get record() {
    return configurationOf(this.state.configurations, 'gw');
  }

  /** What the dataplane describes. */
  runs(running: typeof a, prepared: typeof a | null): void {
    this.vrs.set('gw', { vr: 'gw', configuration: { running, prepared } } as unknown as VrStateMessage);
    this.desk.look();
  }

  /** As a node announces itself. */
  async announce(): Promise<void> {
    const { configuration } = this.vrs.get('gw') ?? {};
    const vr = {
      name: 'gw',
      protocol: 'carp',
      id: 51,
      priority: 100,
      interface: 'eth1',
      addresses: [],
      lanAddress: '',
    };
    const virtualRouters = [{ ...vr, ...(configuration ? { configuration: configuration.running } : {}) }];
    const event = observation(this.name, { type: 'nodeStarted', version: '0', virtualRouters });
    void this.log.append(
      { ...event, boot: bootId(`${this.name}-1`), id: `${this.name}-up-${++this.#ids}` },
      { deadlineMs: 50 },
    );
    await timers.advance(60);
  }
}

beforeEach(async () => {
  timers = new ManualTimers(1_700_000_000_000);
  server = new MemoryLogServer(names, timers);
  types = [];
  nodes = [];
  server.connect().follow({
    from: 1,
    onEvent: ({ event }) => {
      if (event?.payload.type.startsWith('config')) types.push(`${event.node} ${event.payload.type}`);
    },
  });
  nodes = [new Node('r1'), new Node('r2')];
  for (const node of nodes) {
    node.runs(a, null);
    await node.announce();
  }
  await timers.advance(200);
});

const pair = (): [Node, Node] => {
  const [one, two] = nodes;
  if (one === undefined || two === undefined) throw new Error('no pair');
  return [one, two];
};

describe('the desk of configurations', () => {
  it('takes what runs first for the first version, once', () => {
    expect(types).toHaveLength(1);
    for (const node of nodes) expect(node.record).toMatchObject({ version: 1, inForce: { digest: 'a' } });
    expect(pair()[0].told).toContainEqual({ type: 'configuration', vr: 'gw', differs: false });
  });

  it('announces, acknowledges and switches; each node is told once', async () => {
    const [one, two] = pair();
    expect(one.desk.guarded(() => false)).toEqual([{ vr: 'gw', digests: ['a'] }]);
    one.runs(a, b);
    await timers.advance(200);
    expect(types.slice(1)).toEqual(['r1 configProposed']);
    expect(one.desk.describe('gw')).toMatchObject({ digest: 'a', inForce: 'a', prepared: 'b', waitingFor: ['r2'] });
    expect(one.desk.warnings('gw')).toEqual(['waiting for r2 to have the same configuration: it has 10.0.0.2']);
    expect(two.desk.warnings('gw')).toEqual(['r1 proposes another configuration: it has 10.0.0.2']);
    two.runs(a, b);
    await timers.advance(300);
    expect(types.slice(1, 3)).toEqual(['r1 configProposed', 'r2 configAcknowledged']);
    expect(types).toHaveLength(4);
    expect(one.record).toMatchObject({ version: 2, inForce: { digest: 'b' } });
    for (const node of nodes) {
      expect(node.running).toBe('b');
      expect(node.told.filter(({ type }) => type === 'switchConfiguration')).toHaveLength(1);
      expect(node.differences).toEqual([]);
      expect(node.desk.describe('gw')).toMatchObject({ version: 2, prepared: null, waitingFor: [] });
    }
  });

  it('switches nothing while the log is away, and everything when it is back', async () => {
    const [one, two] = pair();
    one.runs(a, b);
    await timers.advance(200);
    for (const node of nodes) node.log.disconnect();
    two.runs(a, b);
    await timers.advance(3000);
    expect([one.running, two.running]).toEqual(['a', 'a']);
    for (const node of nodes) node.log.reconnect();
    await timers.advance(2000);
    expect([one.running, two.running]).toEqual(['b', 'b']);
  });

  it('says who differs in what, on both nodes, and to the dataplane', async () => {
    const [one, two] = pair();
    two.live = false;
    expect(one.desk.guarded(() => false)).toEqual([]);
    one.runs(b, null);
    await timers.advance(200);
    expect(one.record).toMatchObject({ version: 2, inForce: { digest: 'b' } });
    two.live = true;
    two.desk.look();
    await one.announce();
    await timers.advance(200);
    expect(two.told.at(-1)).toEqual({ type: 'configuration', vr: 'gw', differs: true });
    expect(two.differences).toEqual(['it lacks 10.0.0.2']);
    expect(one.desk.warnings('gw')).toContain('r2 has another configuration than the one in force: it lacks 10.0.0.2');
    two.runs(b, null);
    await timers.advance(200);
    expect(two.told.at(-1)).toEqual({ type: 'configuration', vr: 'gw', differs: false });
    expect(two.differences).toEqual(['it lacks 10.0.0.2', undefined]);
  });

  it('does not answer the switch of a node that it takes for dead before that has been silent for as long as a lease', async () => {
    const [one, two] = pair();
    one.live = false;
    two.live = false;
    await timers.advance(lifeMs);
    two.runs(b, null);
    await timers.advance(lifeMs / 2);
    expect(two.record).toMatchObject({ version: 2, inForce: { digest: 'b' }, switchedBy: { node: 'r2' } });
    expect(types.filter((type) => type.endsWith('configSwitched'))).toHaveLength(2);
    expect(one.record.wishes).toMatchObject([{ node: 'r1', digest: 'a' }]);
    await timers.advance(lifeMs);
    one.desk.look();
    await timers.advance(200);
    expect(types.filter((type) => type.endsWith('configSwitched'))).toHaveLength(3);
  });

  it('nor that of a node of whose present life the log has nothing else', async () => {
    const [one, two] = pair();
    two.live = false;
    const stopped = observation('r1', { type: 'nodeStopped', reason: 'shutdown' });
    void one.log.append({ ...stopped, boot: bootId('r1-0'), id: 'r1-end' }, { deadlineMs: 50 });
    await timers.advance(lifeMs);
    one.runs(b, null);
    await timers.advance(lifeMs / 2);
    expect(types.filter((type) => type.endsWith('configSwitched'))).toEqual(['r1 configSwitched', 'r1 configSwitched']);
    await timers.advance(lifeMs);
    two.desk.look();
    await timers.advance(200);
    expect(types.filter((type) => type.endsWith('configSwitched')).at(-1)).toBe('r2 configSwitched');
  });

  it('tells a virtual router that began anew where it stands', () => {
    const [one] = pair();
    const told = (): number => one.told.filter(({ type }) => type === 'configuration').length;
    one.desk.look();
    expect(told()).toBe(1);
    one.desk.routersCame();
    expect(told()).toBe(2);
  });

  it('looks at what was touched alone, at all where another node is not what it was, and again at what has not begun', async () => {
    const [one, two] = pair();
    two.vrs.set('gw', { vr: 'gw', configuration: { running: a, prepared: b } } as unknown as VrStateMessage);
    two.desk.lookAtTouched();
    await timers.advance(200);
    expect(types).toHaveLength(1);
    two.desk.touch('gw');
    two.desk.lookAtTouched();
    await timers.advance(200);
    expect(types.slice(1)).toEqual(['r2 configProposed']);
    one.live = false;
    two.desk.look();
    await timers.advance(200);
    expect(types.slice(2)).toEqual([]);
    await timers.advance(lifeMs);
    two.desk.look();
    await timers.advance(200);
    expect(types.slice(2, 3)).toEqual(['r2 configSwitched']);
    one.desk.stop();
    one.log.disconnect();
    types = [];
    const state = { vr: 'dns', configuration: { running: a, prepared: null } } as unknown as VrStateMessage;
    two.vrs.set('dns', state);
    two.desk.look();
    await timers.advance(200);
    expect(types).toEqual(['r2 configSwitched']);
  });

  it('says the first word on many a few at a time', async () => {
    const [one] = pair();
    let [underWay, most] = [0, 0];
    const append = one.log.append.bind(one.log);
    one.log.append = async (...args) => {
      underWay += 1;
      most = Math.max(most, underWay);
      return append(...args).finally(() => {
        underWay -= 1;
      });
    };
    for (let at = 0; at < 100; at += 1) {
      one.vrs.set(`vr${at}`, {
        vr: `vr${at}`,
        configuration: { running: a, prepared: null },
      } as unknown as VrStateMessage);
    }
    one.desk.look();
    await timers.advance(2000);
    expect(one.state.configurations.size).toBe(101);
    expect(most).toBe(16);
  });

  it('takes back what it wants while a file is read again, or refuses where the log does not answer', async () => {
    const [one] = pair();
    one.runs(a, b);
    await timers.advance(200);
    let seen: number | undefined;
    const work = one.desk.whileTakenBack(async () => {
      seen = one.record.wishes.length;
      one.runs(a, null);
    });
    await timers.advance(200);
    await work;
    expect(seen).toBe(0);
    expect(types.at(-1)).toBe('r1 configWithdrawn');
    await timers.advance(200);
    expect(one.record.wishes).toEqual([]);
  });

  it('puts into force what the operator forces', async () => {
    const [one, two] = pair();
    one.runs(b, null);
    const state = one.vrs.get('gw');
    one.desk.force(state === undefined ? [] : [state]);
    await timers.advance(300);
    expect(one.record).toMatchObject({ inForce: { digest: 'b' } });
    expect(types.at(-1)).toBe('r2 configProposed');
    expect(two.differences).toEqual(['it lacks 10.0.0.2']);
    expect(two.desk.describe('gw')).toMatchObject({ digest: 'a', inForce: 'b' });
  });
});

it('looks at many in turns, and at each of them in the end', () => {
  const [node] = nodes;
  if (node === undefined) throw new Error('no node');
  node.desk.lookAtTouched();
  node.vrs.clear();
  for (let each = 0; each < 450; each++) node.vrs.set(`gw${each}`, { vr: `gw${each}` } as unknown as VrStateMessage);
  const looked = new Set<string>();
  const { get } = node.vrs;
  node.vrs.get = (name: string) => {
    looked.add(name);
    return get.call(node.vrs, name);
  };
  const sizes = [1, 2, 3].map(() => {
    node.desk.lookInTurn();
    return looked.size;
  });
  expect(sizes).toEqual([200, 400, 450]);
});
