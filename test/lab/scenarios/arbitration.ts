import { nowMs } from '../clock.js';
import { type Daemon, signal } from '../daemon.js';
import type { Lab } from '../lab.js';
import { medianOf } from '../median.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { arbitrated, arbitratedByThree, arbitratedLate, type Setup, type VirtualRouterSpec } from '../setup.js';
import { findTakeover } from '../takeover.js';
import { observeFor, waitUntil } from '../wait.js';
import { arbitrationTimeoutMs } from './rejoined.js';

const healthyAddsMs = 3;
const deadlineMs = 10_000;

/**
 * What the log's word adds to a takeover by the protocol's rules. Two virtual routers, alike but for their arbitration,
 * lose their master by one and the same failure: its dataplane is killed, and the guard says priority 0 for both. With
 * `log` the successor may claim at once, with `wire` it waits the protocol's skew; each takeover counts from the moment
 * it may begin to the first announcement on the wire.
 */
export interface Sample {
  readonly logMs: number;
  readonly wireMs: number;
}

interface Sickness {
  fallIll(lab: Lab, number: number): Promise<void>;
  heal(lab: Lab): Promise<void>;
}

function arbitration(how: {
  readonly name: string;
  readonly title: string;
  readonly promise: string;
  readonly setup: Setup;
  readonly failovers: number;
  readonly onDemand: boolean;
  readonly sickness?: Sickness;
}): Scenario {
  const { name, title, promise, setup, failovers, onDemand, sickness } = how;
  return {
    ...{ name, title, promise, setup, onDemand, vip: 'appears', koiOnly: true, narrates: true },
    bound: () => ({}),
    begin: (lab) => {
      const samples: Sample[] = [];
      const phases = new Map<string, number[]>();
      const story: Check[] = [];
      return {
        inject: async () => {
          try {
            for (let number = 0; number < failovers; number++) {
              lab.say(`${name}: failover ${number + 1} of ${failovers}`);
              const since = new Date();
              await sickness?.fallIll(lab, number);
              samples.push(await failOver(lab));
              await sickness?.heal(lab);
              await lab.makeWhole();
              await notePhases(lab, since, phases);
            }
          } catch (error) {
            story.push(
              check(`failover ${samples.length + 1}`, false, error instanceof Error ? error.message : `${error}`),
            );
          }
        },
        checks: () => [
          ...story,
          sickness === undefined ? healthy(samples) : sick(samples),
          check('koi’s own account', true, ownAccount(phases)),
        ],
        restore: () => sickness?.heal(lab),
      };
    },
  };
}

/** Kills the master's dataplane and says how long each of the two virtual routers then took from when it might move. */
export async function failOver(lab: Lab): Promise<Sample> {
  const [byLog, byWire] = lab.setup.virtualRouters;
  if (byLog === undefined || byWire === undefined) throw new Error('this needs two virtual routers');
  await gather(lab, byLog, byWire);
  const victim = lab.master();
  const fromMs = nowMs();
  signal(victim.pids('dataplane'), 'SIGKILL');
  const successor = await successorOf(lab, victim);
  // The frames of the announcement are on their way to the recorder.
  await observeFor(150);
  const frames = lab.recorder.between(fromMs, nowMs());
  const latency = (vr: VirtualRouterSpec, waitsMs: number): number => {
    const takeover = findTakeover(frames, vr, successor);
    if (typeof takeover === 'string') throw new Error(takeover);
    return takeover.announcedMs - takeover.toldMs - waitsMs;
  };
  return { logMs: latency(byLog, 0), wireMs: latency(byWire, lab.skewOf(successor)) };
}

/** Daemons that start together may share the two between them: then one follows the other. */
async function gather(lab: Lab, byLog: VirtualRouterSpec, byWire: VirtualRouterSpec): Promise<void> {
  const apart = (): string | undefined => {
    const [logAt, wireAt] = [byLog, byWire].map(({ address }) => lab.owners.now(address).join('+'));
    return logAt === wireAt ? undefined : `${byLog.name} is at ${logAt}, ${byWire.name} at ${wireAt}`;
  };
  if (apart() === undefined) return;
  const { code, said } = await lab.master().command(['handover', byLog.name]);
  if (code !== 0) throw new Error(`${apart()}; koi handover: exit ${code}: ${said}`);
  await waitUntil('both virtual routers to be at one router', apart, { deadlineMs });
}

async function successorOf(lab: Lab, victim: Daemon): Promise<string> {
  let successor = '';
  await waitUntil(
    'both virtual routers to move',
    () => {
      const owners = lab.setup.virtualRouters.map((vr) => lab.owners.now(vr.address).join('+'));
      successor = owners[0] ?? '';
      const moved = successor !== '' && successor !== victim.router.name && owners.every((each) => each === successor);
      return moved ? undefined : `they are at ${owners.join(' and ')}`;
    },
    { deadlineMs, everyMs: 5 },
  );
  return successor;
}

/** Reads how long koi itself says that arbitration took, for each virtual router. */
async function notePhases(lab: Lab, since: Date, phases: Map<string, number[]>): Promise<void> {
  const lines = (await lab.master().timeline(since)) ?? [];
  for (const vr of lab.setup.virtualRouters) {
    const line = lines.findLast(({ type, text }) => type === 'masterActive' && text.startsWith(`${vr.name} `));
    const said = /arbitrate ([\d.]+) ms/.exec(line?.text ?? '')?.[1];
    if (said === undefined) continue;
    phases.set(vr.arbitration, [...(phases.get(vr.arbitration) ?? []), Number(said)]);
  }
}

function healthy(samples: readonly Sample[]): Check {
  const { log, wire } = columns(samples);
  const addedMs = medianOf(log) - medianOf(wire);
  const ok = samples.length > 0 && addedMs <= healthyAddsMs;
  return check(`the log adds ≤ ${healthyAddsMs} ms in the median`, ok, `${addedMs.toFixed(1)} ms; ${told(log, wire)}`);
}

function sick(samples: readonly Sample[]): Check {
  const { log, wire } = columns(samples);
  // What the machine made the wire's takeovers wait in the same run, it may make the log's wait too.
  const addedMs = Math.max(...log) - Math.max(...wire);
  const ok = samples.length > 0 && addedMs <= arbitrationTimeoutMs;
  return check(
    `the log adds ≤ ${arbitrationTimeoutMs} ms at worst`,
    ok,
    `${addedMs.toFixed(1)} ms; ${told(log, wire)}`,
  );
}

const columns = (samples: readonly Sample[]) => ({
  log: samples.map(({ logMs }) => logMs),
  wire: samples.map(({ wireMs }) => wireMs),
});

function told(log: readonly number[], wire: readonly number[]): string {
  const of = (values: readonly number[]) =>
    `${medianOf(values).toFixed(1)} (worst ${Math.max(...values).toFixed(1)}) ms`;
  return `log ${of(log)}, wire ${of(wire)} from the moment it may to the first announcement, ${log.length} failovers`;
}

function ownAccount(phases: ReadonlyMap<string, readonly number[]>): string {
  const parts = [...phases].map(
    ([mode, values]) => `${mode} ${medianOf(values).toFixed(1)} (worst ${Math.max(...values).toFixed(1)}) ms`,
  );
  return `phase arbitrate: ${parts.join(', ')}`;
}

/** All servers stand still: connections stay open, nothing answers. */
const frozen: Sickness = {
  fallIll: async (lab) => lab.log.freeze(),
  heal: async (lab) => lab.log.thaw(),
};

const delaysMs = [10, 30, 60, 120, 250];
const late: Sickness = {
  fallIll: async (lab, number) => lab.log.overseer.delayRelay(delaysMs[number % delaysMs.length] ?? 0),
  heal: async (lab) => lab.log.overseer.delayRelay(0),
};

const soon = 'median ≤ 3 ms: a challenge that nobody serves any more, and one append';
const bounded = 'arbitrationTimeout (50 ms) bounds challenge and claim together; then the protocol’s rules decide';

export const arbitrations: readonly Scenario[] = [
  arbitration({
    name: 'arbitration',
    title: 'log against wire, three servers',
    promise: soon,
    setup: arbitratedByThree,
    failovers: 10,
    onDemand: true,
  }),
  arbitration({
    name: 'arbitration-frozen',
    title: 'log against wire, three servers stopped',
    promise: bounded,
    setup: arbitratedByThree,
    failovers: 10,
    onDemand: true,
    sickness: frozen,
  }),
  arbitration({
    name: 'arbitration-one',
    title: 'log against wire, one server',
    promise: soon,
    setup: arbitrated,
    failovers: 20,
    onDemand: true,
  }),
  arbitration({
    name: 'arbitration-late',
    title: 'log against wire, answers come late',
    promise: bounded,
    setup: arbitratedLate,
    failovers: 10,
    onDemand: true,
    sickness: late,
  }),
];
