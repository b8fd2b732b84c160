import { wellLanDelayMs } from './lan.js';
import type { Random } from './random.js';
import type { SimulatedNode } from './simulated-node.js';
import type { World } from './world.js';

/** Undoes a fault; nothing where it undoes itself. */
type Heal = (() => void) | undefined;

interface FaultKind {
  /** How often, against the others. */
  readonly weight: number;
  /** Milliseconds, short ones as often as long ones. */
  readonly lasts: readonly [number, number];
  readonly begin: (site: FaultSite) => Heal;
}

interface FaultSite {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimulatedNode[];
  readonly node: SimulatedNode;
}

const brief = [20, 900] as const;
const usual = [100, 8000] as const;

/** Everything that can go wrong, and what operators do to it. */
const kinds = {
  // ── the LAN
  carrier: { weight: 3, lasts: usual, begin: ({ world, node }) => carrier(world, node) },
  port: { weight: 4, lasts: usual, begin: ({ world, node, nodes }) => isolate(world, node, nodes, 'both') },
  oneWay: {
    weight: 4,
    lasts: usual,
    begin: ({ world, node, nodes, random }) => isolate(world, node, nodes, random.pick(['in', 'out'])),
  },
  pair: { weight: 4, lasts: usual, begin: (site) => pair(site) },
  loss: {
    weight: 2,
    lasts: usual,
    begin: ({ world: { lan }, random }) => {
      lan.lossRate = random.between(0.02, 0.7);
      lan.changed = true;
      return () => {
        lan.lossRate = 0;
        lan.changed = true;
      };
    },
  },
  slowLan: {
    weight: 2,
    lasts: usual,
    begin: ({ world: { lan }, random }) => {
      lan.delayMs = [0.1, random.logBetween(1, 60)];
      lan.changed = true;
      return () => {
        lan.delayMs = wellLanDelayMs;
        lan.changed = true;
      };
    },
  },
  duplicates: {
    weight: 1,
    lasts: usual,
    begin: ({ world: { lan } }) => {
      lan.duplicateRate = 0.3;
      return () => {
        lan.duplicateRate = 0;
      };
    },
  },
  // ── the log
  logCut: {
    weight: 4,
    lasts: usual,
    begin: ({ node }) => {
      note(node, 'is cut off from the log');
      node.link.cut();
      return () => {
        note(node, 'reaches the log again');
        node.link.heal();
      };
    },
  },
  bothCut: {
    weight: 4,
    lasts: usual,
    begin: (site) => {
      const heals = [kinds.port.begin(site), kinds.logCut.begin(site)];
      return () => {
        const later = site.random.logBetween(1, 3000);
        const [first, second] = site.random.chance(0.5) ? heals : [heals[1], heals[0]];
        first?.();
        site.world.time.after(later, () => second?.());
      };
    },
  },
  logStall: { weight: 3, lasts: [4000, 12_000], begin: (site) => stall(site) },
  logRefuses: {
    weight: 2,
    lasts: usual,
    begin: (site) => {
      const streams = site.nodes.flatMap((node) => whichStreams(site.random, node.log, node.leaseLog));
      for (const stream of streams) stream.refusing = true;
      return () => {
        for (const stream of streams) stream.refusing = false;
      };
    },
  },
  slowLog: {
    weight: 3,
    lasts: usual,
    begin: ({ node, random }) => {
      const before = node.link.delayMs;
      node.link.delayMs = [1, random.logBetween(10, 400)];
      note(node, 'has a slow log');
      return () => {
        node.link.delayMs = before;
      };
    },
  },
  staleReader: {
    weight: 2,
    lasts: usual,
    begin: ({ node, random }) => {
      const streams = whichStreams(random, node.log, node.leaseLog);
      for (const stream of streams) stream.behindMs = random.logBetween(50, 6000);
      note(node, 'reads from a replica that is behind');
      return () => {
        for (const stream of streams) stream.behindMs = 0;
      };
    },
  },
  lostAnswers: {
    weight: 2,
    lasts: usual,
    begin: (site) => logServerFault(site, 'losesAnswers'),
  },
  lostRequests: {
    weight: 1,
    lasts: usual,
    begin: (site) => logServerFault(site, 'losesRequests'),
  },
  lostTail: {
    weight: 1,
    lasts: brief,
    begin: ({ world: { trace, logServer, leaseServer }, random }) => {
      const count = 1 + random.below(5);
      trace.note('log', 'loses its tail', () => `${count} events`);
      for (const server of whichStreams(random, logServer, leaseServer)) server.loseTail(count);
      return undefined;
    },
  },
  restored: {
    weight: 0.4,
    lasts: brief,
    begin: ({ world: { trace, logServer, leaseServer }, random }) => {
      const count = Math.round(random.logBetween(1, 200));
      trace.note('log', 'is restored from an old copy', () => `${count} events old`);
      for (const server of whichStreams(random, logServer, leaseServer)) server.restore(count);
      return undefined;
    },
  },
  wiped: {
    weight: 0.3,
    lasts: brief,
    begin: ({ world: { trace, logServer, leaseServer }, random }) => {
      trace.note('log', 'is wiped');
      for (const server of whichStreams(random, logServer, leaseServer)) server.recreate();
      return undefined;
    },
  },
  // ── processes and machines
  dataplaneKilled: {
    weight: 3,
    lasts: brief,
    begin: ({ node }) => {
      node.killDataplane('signal');
      return undefined;
    },
  },
  allKilled: {
    weight: 1.5,
    lasts: usual,
    begin: ({ node, random }) => {
      node.killAgent();
      node.killDataplane('all');
      // Whoever started them starts them again at once, or not.
      if (random.chance(0.5)) node.forsake();
      return () => {
        node.startDataplane();
        node.startAgent();
      };
    },
  },
  /** A node that cannot be reached any more is cleared of what runs on it. */
  evicted: {
    weight: 1,
    lasts: [4000, 10_000],
    begin: ({ world, node, random }) => {
      node.link.cut();
      note(node, 'is cut off from the log, and given up');
      const callOff = world.time.after(random.between(500, 4000), () => {
        node.killAgent();
        node.killDataplane('all');
        node.forsake();
      });
      return () => {
        callOff();
        node.link.heal();
        node.startDataplane();
        node.startAgent();
      };
    },
  },
  powerLost: {
    weight: 1.5,
    lasts: usual,
    begin: ({ node }) => {
      node.losePower();
      return () => {
        node.startDataplane();
        node.startAgent();
      };
    },
  },
  agentKilled: {
    weight: 3,
    lasts: usual,
    begin: ({ node }) => {
      node.killAgent();
      return () => node.startAgent();
    },
  },
  guardKilled: {
    weight: 0.5,
    lasts: brief,
    begin: ({ node }) => {
      node.killGuard();
      return undefined;
    },
  },
  dataplanePaused: { weight: 3, lasts: [5, 600], begin: ({ node }) => node.pauseDataplane() },
  agentPaused: { weight: 3, lasts: usual, begin: ({ node }) => node.pauseAgent() },
  machinePaused: {
    weight: 3,
    lasts: [50, 12_000],
    begin: ({ node, random }) => node.pauseMachine(random.chance(0.5), random.chance(0.7)),
  },
  clockJumps: {
    weight: 1,
    lasts: brief,
    begin: ({ node, random }) => {
      const byMs = random.logBetween(1, 100_000) * (random.chance(0.6) ? 1 : -1);
      note(node, 'wall clock jumps', () => `${Math.round(byMs)} ms`);
      node.jumpWall(byMs);
      return undefined;
    },
  },
  slowDisk: {
    weight: 1,
    lasts: usual,
    begin: ({ world, node, random }) => {
      const before = node.terms.writeMs;
      node.terms.writeMs = [5, random.logBetween(10, 1500)];
      world.witness.diskIsSlow(node.index, true);
      note(node, 'has a slow disk');
      return () => {
        world.witness.diskIsSlow(node.index, false);
        node.terms.writeMs = before;
      };
    },
  },
  interference: {
    weight: 1,
    lasts: brief,
    begin: ({ node, world, random }) => {
      const router = random.pickAny([...(node.dataplane?.routers.values() ?? [])]);
      if (random.chance(0.7)) node.dataplane?.inLoop('kernel', () => router?.disturb());
      else node.dataplane?.inLoop('kernel', () => router?.interfere());
      world.trace.note(node.id, 'is interfered with');
      return undefined;
    },
  },
  // ── operators
  stop: {
    weight: 3,
    lasts: usual,
    begin: ({ node }) => {
      node.stop();
      return () => {
        // One that has not ended yet is killed by the service manager.
        if (node.dataplane?.isStopping === true) node.killDataplane('signal');
        node.startDataplane();
        node.startAgent();
      };
    },
  },
  handover: {
    weight: 5,
    lasts: brief,
    begin: ({ world, nodes, node, random }) => {
      const vr = random.pickAny(world.routers)?.name ?? '';
      const holder = nodes.find((candidate) => candidate.isHolding(vr)) ?? node;
      const to = random.chance(0.5) ? undefined : random.pickAny(nodes)?.id;
      note(holder, 'is asked to hand over', () => `${vr} to ${to ?? 'the successor'}`);
      holder.agent?.handOver(vr, to);
      return undefined;
    },
  },
  drain: {
    weight: 2,
    lasts: usual,
    begin: ({ node, random }) => {
      node.drain(true, random.chance(0.2));
      return () => node.drain(false, false);
    },
  },
  reload: {
    weight: 2,
    lasts: brief,
    begin: ({ world, node, random }) => {
      node.reload(random.pickAny(world.routers)?.name ?? '', 1 + random.below(254));
      return undefined;
    },
  },
  flap: {
    weight: 2,
    lasts: brief,
    begin: ({ world, node, random }) => {
      const vr = random.pickAny(world.routers)?.name ?? '';
      node.track(vr, random.pick([30, 60, 120, 250]));
      return () => node.track(vr, 0);
    },
  },
} satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof kinds;
export const faultNames = Object.keys(kinds) as FaultName[];

/** Plans faults one after another, and overlapping, until they have to end; and ends them. */
export class Faults {
  readonly #world: World;
  readonly #random: Random;
  readonly #nodes: readonly SimulatedNode[];
  readonly #names: readonly FaultName[];
  readonly #active = new Map<string, () => void>();
  #isOver = false;

  constructor(world: World, random: Random, nodes: readonly SimulatedNode[], names: readonly FaultName[]) {
    this.#world = world;
    this.#random = random;
    this.#nodes = nodes;
    this.#names = names;
  }

  begin(meanGapMs: number): void {
    const gapMs = this.#random.logBetween(meanGapMs / 10, meanGapMs * 3);
    this.#world.time.after(gapMs, () => {
      if (this.#isOver) return;
      this.#strike();
      this.begin(meanGapMs);
    });
  }

  /** No more faults, and everything that was broken is whole: what was stopped runs, what was cut is joined. */
  end(): void {
    this.#isOver = true;
    for (const heal of [...this.#active.values()]) heal();
    for (const node of this.#nodes) {
      node.startDataplane();
      node.startAgent();
    }
  }

  #strike(): void {
    const name = this.#draw();
    const node = this.#random.pickAny(this.#nodes);
    if (name === undefined || node === undefined) return;
    // Two of a kind on one node are one.
    const key = `${name} ${node.id}`;
    if (this.#active.has(key)) return;
    const kind: FaultKind = kinds[name];
    this.#world.trace.note('-', 'fault', () => `${name} at ${node.id}`);
    const lastsMs = this.#random.logBetween(...kind.lasts);
    const heal = kind.begin({ world: this.#world, random: this.#random, nodes: this.#nodes, node });
    if (heal === undefined) return;
    const end = (): void => {
      if (!this.#active.delete(key)) return;
      this.#world.trace.note('-', 'healed', () => `${name} at ${node.id}`);
      heal();
    };
    this.#active.set(key, end);
    this.#world.time.after(lastsMs, end);
  }

  #draw(): FaultName | undefined {
    const total = this.#names.reduce((sum, name) => sum + kinds[name].weight, 0);
    let left = this.#random.between(0, total);
    for (const name of this.#names) {
      left -= kinds[name].weight;
      if (left <= 0) return name;
    }
    return this.#names.at(-1);
  }
}

function note(node: SimulatedNode, what: string, detail?: () => string): void {
  node.note(what, detail);
}

function carrier(world: World, node: SimulatedNode): Heal {
  world.lan.loseCarrier(node.index);
  node.carrierChanged();
  return () => {
    world.lan.regainCarrier(node.index);
    node.carrierChanged();
  };
}

/** A node's port stops forwarding, in one or both directions, with its carrier on. */
function isolate(
  { lan }: World,
  node: SimulatedNode,
  nodes: readonly SimulatedNode[],
  direction: 'in' | 'out' | 'both',
): Heal {
  const others = [...nodes.filter((other) => other !== node).map(({ index }) => index), lan.client];
  const set = (by: 1 | -1): void => {
    for (const other of others) {
      if (direction !== 'in') lan.block(node.index, other, by);
      if (direction !== 'out') lan.block(other, node.index, by);
    }
  };
  set(1);
  return () => set(-1);
}

/** Two nodes do not hear each other, in one or both directions; everybody else hears both. */
function pair({ world: { lan }, node, nodes, random }: FaultSite): Heal {
  const other = random.pickAny(nodes.filter((candidate) => candidate !== node));
  if (other === undefined) return undefined;
  const isBoth = random.chance(0.6);
  const set = (by: 1 | -1): void => {
    lan.block(node.index, other.index, by);
    if (isBoth) lan.block(other.index, node.index, by);
  };
  set(1);
  return () => set(-1);
}

/** What befalls a server befalls both streams, or the one that it leads. */
function whichStreams<T>(random: Random, events: T, leases: T): readonly T[] {
  return random.pick([[events, leases], [events, leases], [events], [leases]]);
}

function stall({ world: { logServer, leaseServer, trace }, nodes, random }: FaultSite): Heal {
  if (logServer.faults.stalled || leaseServer.faults.stalled) return undefined;
  const servers = whichStreams(random, logServer, leaseServer);
  const streams = nodes.flatMap(({ log, leaseLog }) =>
    [log, leaseLog].filter((_, index) => servers.includes(index === 0 ? logServer : leaseServer)),
  );
  trace.note('log', 'stalls', () => `${servers.length} streams`);
  for (const server of servers) server.faults.stalled = true;
  for (const stream of streams) stream.silence(true);
  return () => {
    trace.note('log', 'wakes');
    for (const server of servers) server.wake();
    for (const stream of streams) stream.silence(false);
  };
}

function logServerFault({ world, random }: FaultSite, fault: 'losesAnswers' | 'losesRequests'): Heal {
  const { logServer, leaseServer, trace } = world;
  const servers = whichStreams(random, logServer, leaseServer);
  trace.note('log', fault);
  for (const server of servers) server.faults[fault] = true;
  return () => {
    for (const server of servers) server.faults[fault] = false;
  };
}
