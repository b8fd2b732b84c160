import { createHash } from 'node:crypto';
import type { OwnershipDesk } from '../agent/ownership-desk.js';
import { clockDriftMax, watchedUntilMs } from '../core/lease.js';
import { step } from '../core/vr-machine.js';
import { MemoryLogServer } from '../log/memory.js';
import { emptyLogState, fold, rewind } from '../log/projection.js';
import { logNames } from '../log/subjects.js';
import type { LogTimers } from '../log/timers.js';
import { type FaultName, Faults, faultNames } from './faults.js';
import { Lan } from './lan.js';
import { NodeClock } from './node-clock.js';
import { NodeLink } from './node-link.js';
import { NodeLog } from './node-log.js';
import { planChanges } from './operator.js';
import { PeerMessages } from './peer-messages.js';
import type { Violation } from './promises.js';
import { Random } from './random.js';
import { auditRecord } from './recorded-log.js';
import { SimulatedNode } from './simulated-node.js';
import { breakForGood, planIsolation } from './standing-faults.js';
import type { Tally } from './tally.js';
import { Trace, type TraceLine } from './trace.js';
import { VirtualTime } from './virtual-time.js';
import { Witness } from './witness.js';
import { clusterName, type Mode, type RouterSettings, type Rules, type World } from './world.js';

/** The product's own rules. */
export const productRules: Rules = {
  step,
  desk: (desk: OwnershipDesk) => desk,
  keepsTerms: true,
  revoker: (revoker) => revoker,
  addressesEndWithLease: true,
  addressesExpire: true,
  guardFences: true,
  looksBeforeAsking: true,
  together: (desk) => desk,
  watch: (watch) => watch,
};

export interface SimulationOptions {
  readonly seed: number;
  /** Default: drawn from the seed, 2 to 4. */
  readonly nodes?: number | undefined;
  /** Default: drawn from the seed. */
  readonly mode?: Mode | undefined;
  /** Only these faults; default: some, drawn from the seed. */
  readonly faults?: readonly FaultName[] | undefined;
  readonly rules?: Rules | undefined;
  /** Keep every line of the trace. */
  readonly keepsTrace?: boolean | undefined;
}

export interface SimulationResult {
  readonly seed: number;
  readonly mode: Mode;
  readonly nodes: number;
  readonly routers: readonly RouterSettings[];
  readonly faults: readonly FaultName[];
  readonly simulatedMs: number;
  readonly violation: Violation | undefined;
  readonly tally: Tally;
  readonly logEvents: number;
  /** Two runs with the same hash were the same. */
  readonly traceHash: string;
  readonly trace: readonly TraceLine[];
}

/** What address resolution leaves to chance is drawn apart, so that a run is otherwise the run that its seed was without. */
const lanStream = 0x5eed_a49b;

/** Two clocks that are off by this, one fast and one slow, are as far apart as the bound allows. */
const driftMax = clockDriftMax / (2 + clockDriftMax);

/** How long the cluster is watched once it has settled. */
const watchedMs = 2000;
/**
 * Restarts, reconnects, a whole master-down interval and the penalty after a failed attach; in `strict` the log has to be
 * followed for as long as a lease lasts, by the slowest clock.
 */
function settleMs(mode: Mode, advertIntervalMs: number, ttlMs: number): number {
  const proofMs = mode === 'strict' ? watchedUntilMs(0, ttlMs) * (1 + clockDriftMax) : 0;
  return 5000 + 10 * advertIntervalMs + proofMs;
}

/** How long an address must be seen at rest: longer than it takes to come back, by silence or preemption. */
const restsMs = (advertIntervalMs: number): number => Math.max(10_000, 20 * advertIntervalMs);

/** A host speaks on the LAN so often, if only to its own servers: others know it by that. */
const speaksEveryMs = 5000;

function speakAgain(world: World, node: SimulatedNode, random: Random): void {
  const { time, lan } = world;
  time.after(random.between(0.5, 1.5) * speaksEveryMs, () => {
    if (!node.machineIsPaused) lan.resolve({ kind: 'whoHas', from: node.index, source: node.lanAddress, target: '' });
    speakAgain(world, node, random);
  });
}

/** Runs one cluster through everything that one seed has in store for it. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const random = new Random(options.seed);
  const time = new VirtualTime();
  const trace = new Trace(() => time.nowMs(), options.keepsTrace ?? false);
  const mode = options.mode ?? random.pick<Mode>(['log', 'log', 'strict', 'wire']);
  const nodeCount = options.nodes ?? random.pick([2, 3, 3, 3, 4]);
  const intervalMs = random.pick([50, 100, 100, 200, 400, 1000]);
  const lease = drawLease(random);
  const routers = drawRouters(random, mode, intervalMs, lease.ttlMs);
  const names = logNames(clusterName);
  const lanRandom = new Random(options.seed ^ lanStream);
  const lan = new Lan(time, random, lanRandom, nodeCount);
  lan.clientManner = lanRandom.pick(['asks', 'quiet', 'absent']);
  const neighboursKnownMs = lanRandom.pick([55_000, 55_000, 8000]);
  const nodes: SimulatedNode[] = [];
  const witness = new Witness(() => world, nodes, nodeCount);
  const logServer = new MemoryLogServer(names, stirring(time));
  const leaseServer = new MemoryLogServer(names, stirring(time), { compacted: true });
  const rules = options.rules ?? productRules;
  const world: World = {
    ...{ time, random, trace, lan, names, logServer, leaseServer, rules, lease, routers, witness, neighboursKnownMs },
  };

  const peers = new PeerMessages(time, random);
  const attachFailureRate = random.pick([0, 0, 0.02, 0.2]);
  const detachFailureRate = random.pick([0, 0, 0.02]);
  for (let index = 0; index < nodeCount; index++) {
    const rate = 1 + random.between(-1, 1) * random.pick([0, 1e-5, 5e-4, driftMax]);
    const clock = new NodeClock(time, rate, random.between(1e4, 1e8), random.between(-500, 500));
    const link = new NodeLink(time, random);
    const log = new NodeLog(logServer.connect(), link, time, random);
    const leaseLog = new NodeLog(leaseServer.connect(), link, time, random);
    const priorities = new Map(routers.map(({ name }) => [name, drawPriority(random, mode)]));
    const node = new SimulatedNode(world, {
      index,
      clock,
      link,
      log,
      leaseLog,
      peers,
      priorities,
      attachFailureRate,
      detachFailureRate,
    });
    nodes.push(node);
    peers.add(node);
  }
  lan.deliver = (to, frame) => nodes[to]?.received(frame);
  lan.deliverNeighbour = (to, frame) => nodes[to]?.heardNeighbour(frame);
  lan.served = (node) => nodes[node]?.dataplane?.served();
  for (const node of nodes) speakAgain(world, node, lanRandom);
  watchLog(world);

  for (const node of nodes) {
    time.after(random.between(0, 200), () => node.startDataplane());
    time.after(random.between(0, 400), () => node.startAgent());
  }
  const chosen = options.faults ?? faultNames.filter(() => random.chance(0.4));
  const faults = new Faults(world, random, nodes, chosen);
  const quietMs = random.between(2000, 5000) + 5 * intervalMs;
  const faultyMs = Math.max(12_000, 30 * intervalMs);
  if (chosen.length > 0) {
    const meanGapMs = random.logBetween(200, 4000);
    time.after(quietMs, () => faults.begin(meanGapMs));
  }
  const endOfFaultsMs = quietMs + faultyMs;
  if (chosen.length > 0) planChanges(world, nodes, options.seed, { fromMs: quietMs, toMs: endOfFaultsMs });
  if (chosen.length > 0) planIsolation(world, nodes, options.seed, { fromMs: quietMs, toMs: endOfFaultsMs });
  time.at(endOfFaultsMs, () => {
    trace.note('-', 'all faults end');
    faults.end();
  });
  const settledMs = endOfFaultsMs + settleMs(mode, intervalMs, lease.ttlMs);
  time.at(settledMs, () => witness.mustSettle());
  const endMs = settledMs + watchedMs;
  await time.run(endMs, () => witness.observe());
  if (witness.violation === undefined) witness.finish();
  const isBroken = witness.violation === undefined && chosen.length > 0 && breakForGood(world, nodes, options.seed);
  if (isBroken) {
    witness.needNotSettle();
    const restsFromMs = endMs + settleMs(mode, intervalMs, lease.ttlMs);
    time.at(restsFromMs, () => witness.mustRest());
    await time.run(restsFromMs + restsMs(intervalMs), () => witness.observe());
  }
  witness.audited(auditRecord(logServer, names, witness.tally.logResets > 0));
  return {
    seed: options.seed,
    mode,
    nodes: nodeCount,
    routers,
    faults: chosen,
    simulatedMs: time.nowMs(),
    violation: witness.violation,
    tally: witness.tally,
    logEvents: logServer.lastSequence,
    traceHash: hashOf(trace, witness),
    trace: trace.lines,
  };
}

/** Whatever the log does settles promises that somebody waits for. */
function stirring(time: VirtualTime): LogTimers {
  const after = (delayMs: number, action: () => void): (() => void) =>
    time.after(delayMs, () => {
      time.stir();
      action();
    });
  return { nowMs: () => time.nowMs(), after };
}

/** The witness reads the log as it is stored, without delay. */
function watchLog({ logServer, names, witness }: World): void {
  let state = emptyLogState;
  logServer.connect().follow({
    from: 1,
    onEvent: (stored) => {
      state = fold(state, names, stored);
      witness.stored(state, stored.event);
    },
    onGap: () => {
      state = rewind(state);
      witness.logReset(state);
    },
  });
}

function drawRouters(random: Random, mode: Mode, advertIntervalMs: number, leaseMs: number): RouterSettings[] {
  const preempt = { enabled: random.chance(0.7), delayMs: random.pick([0, 0, 1500]) };
  const startDelayMs = random.pick([0, 0, 1000]);
  const onLogLoss = random.pick<'wire' | 'hold' | 'release'>(['wire', 'wire', 'wire', 'hold', 'release']);
  const onPathSplit = random.pick<'hold' | 'take'>(['hold', 'hold', 'take']);
  const count = random.pick([1, 1, 2]);
  return Array.from({ length: count }, (_, index) => ({
    name: `vr${index + 1}`,
    preempt,
    startDelayMs,
    arbitration: mode,
    onLogLoss,
    onPathSplit,
    arbitrationTimeoutMs: 50,
    challengeTimeoutMs: 30,
    leaseMs,
    advertIntervalMs,
  }));
}

/** The default most often, so that a run sees many end; below it `strict` could not attach. */
function drawLease(random: Random): World['lease'] {
  const ttlMs = random.pick([4000, 4000, 4000, 6000, 12_000]);
  return { ttlMs, renewMs: Math.min(1000, ttlMs / 4) };
}

/** Ties and the owner's priority among them. */
function drawPriority(random: Random, mode: Mode): number {
  if (random.chance(0.2)) return 100;
  if (mode === 'wire' && random.chance(0.05)) return 255;
  return 1 + random.below(254);
}

function hashOf(trace: Trace, witness: Witness): string {
  const text = JSON.stringify([trace.hash, witness.tally, witness.violation]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
