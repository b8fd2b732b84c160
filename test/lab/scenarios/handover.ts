import { nowMs } from '../clock.js';
import type { Daemon } from '../daemon.js';
import type { Lab } from '../lab.js';
import { medianOf } from '../median.js';
import { type Check, check, type Scenario } from '../scenario.js';
import { waitUntil } from '../wait.js';

const handovers = 20;
/** How long a handover may take before the scenario gives up. */
const deadlineMs = 10_000;
/** The old master lingers until it has heard that the other one serves; it gives that up after 300 ms. */
const lingerMs = 300;
/**
 * What belongs to the move: from so long before the first change of owners to so long after the last. Before that and
 * after it this machine starts a process for each `koi handover`, which takes a processor from the prober as well.
 */
const aroundMs = 50;
/** Lost probes are told one by one, up to so many. */
const shownMax = 40;

/** One handover, and what the client felt from its beginning to well after its end. */
interface Felt {
  /** What was lost and when, in words; undefined where nothing was. */
  readonly loss: string | undefined;
  readonly lost: number;
  /** The longest wait for an answer while the address moved. */
  readonly outageMs: number;
  /** The same from the command to the end. */
  readonly throughoutMs: number;
  /** Until the other router was the only owner. */
  readonly tookMs: number;
  readonly bothMs: number;
}

function plannedHandovers(how: {
  readonly name: string;
  readonly title: string;
  readonly promise: string;
  readonly onDemand: boolean;
  readonly handOver: (lab: Lab, master: Daemon) => Promise<void>;
}): Scenario {
  const { name, title, promise, onDemand, handOver } = how;
  return {
    ...{ name, title, promise, onDemand, vip: 'appears', koiOnly: true, narrates: true },
    bound: () => ({ lost: 0, severalMs: lingerMs }),
    begin: (lab) => {
      const felt: Felt[] = [];
      let failed: Check[] = [];
      return {
        inject: async () => {
          try {
            for (let number = 1; number <= handovers; number++) {
              lab.say(`${name}: handover ${number} of ${handovers}`);
              felt.push(await one(lab, handOver));
              await lab.makeWhole();
            }
          } catch (error) {
            failed = [check(`handover ${felt.length + 1}`, false, error instanceof Error ? error.message : `${error}`)];
          }
        },
        outageMs: () => (felt.length === 0 ? undefined : Math.max(...felt.map(({ outageMs }) => outageMs))),
        checks: () => [
          ...failed,
          ...felt.flatMap(({ loss }, index) =>
            loss === undefined ? [] : [check(`handover ${index + 1}`, false, loss)],
          ),
          summary(felt),
        ],
      };
    },
  };
}

async function one(lab: Lab, handOver: (lab: Lab, master: Daemon) => Promise<void>): Promise<Felt> {
  const master = lab.master();
  const fromMs = nowMs();
  let refusal: unknown;
  const given = handOver(lab, master).catch((error: unknown) => {
    refusal = error;
  });
  await waitUntil(
    'the other router to be the only owner',
    () => {
      if (refusal !== undefined) throw refusal;
      const owners = lab.owners.now();
      return owners.length === 1 && owners[0] !== master.router.name ? undefined : `${owners.join(' and ')} holds it`;
    },
    { deadlineMs },
  );
  await given;
  if (refusal !== undefined) throw refusal;
  await waitUntil('the client to be answered', () => lab.prober.answering(200), { deadlineMs });
  const untilMs = nowMs();
  const { lost, lostSentMs, outageMs: throughoutMs } = await lab.prober.judge(fromMs, untilMs);
  const { severalMs } = lab.owners.judge(fromMs, untilMs);
  const history = lab.owners.history(fromMs, untilMs);
  const tookMs = history.at(-1)?.afterMs ?? 0;
  // The first entry is who held it at the beginning.
  const movesFromMs = fromMs + (history[1]?.afterMs ?? 0) - aroundMs;
  const { outageMs } = await lab.prober.judge(
    Math.max(fromMs, movesFromMs),
    Math.min(untilMs, fromMs + tookMs + aroundMs),
  );
  // The switch sends the client's packets to whoever spoke last from the virtual MAC.
  const after = (atMs: number): string => (atMs - fromMs).toFixed(1);
  const lastLostMs = Math.max(...lostSentMs);
  const spoken = lab.daemons
    .flatMap(({ router }) => lab.recorder.spokenBy(router.name, fromMs))
    .filter(({ atMs }) => atMs <= lastLostMs + 20)
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ port, kind, atMs }) => `${port} ${kind} ${after(atMs)}`);
  const loss =
    lost === 0
      ? undefined
      : `owners ${history.map(({ afterMs, owners }) => `${owners.join('+')} ${afterMs.toFixed(1)}`).join(', ')}; ${lost} lost, ` +
        `sent at ${lostSentMs.slice(0, shownMax).map(after).join(', ')}; from the virtual MAC spoke ${spoken.join(', ') || 'nobody'}`;
  return { loss, lost, outageMs, throughoutMs, tookMs, bothMs: severalMs };
}

function summary(felt: readonly Felt[]): Check {
  const worst = (of: (one: Felt) => number) => Math.max(0, ...felt.map(of));
  const worstLost = worst(({ lost }) => lost);
  const took = felt.map(({ tookMs }) => tookMs);
  return check(
    `worst of ${handovers}`,
    felt.length === handovers && worstLost === 0,
    `${worstLost} probes lost, ${worst(({ outageMs }) => outageMs).toFixed(1)} ms without an answer while it moved ` +
      `(${worst(({ throughoutMs }) => throughoutMs).toFixed(1)} from the command on), ` +
      `both held it for ${worst(({ bothMs }) => bothMs).toFixed(1)} ms; ` +
      `moved after ${medianOf(took).toFixed(0)} ms in the median, ${worst(({ tookMs }) => tookMs).toFixed(0)} at worst`,
  );
}

/** What an operator types before he works on the master. */
export const handover: Scenario = plannedHandovers({
  name: 'handover',
  title: `koi handover, ${handovers} times`,
  promise: 'make-before-break: the target serves before the old master goes, so nothing is lost',
  onDemand: true,
  handOver: async (_lab, master) => {
    const { code, said } = await master.command(['handover', 'gw']);
    if (code !== 0) throw new Error(`koi handover: exit ${code}: ${said}`);
  },
});

/** A stop of the service hands over too. */
export const handoverByStop: Scenario = plannedHandovers({
  name: 'handover-stop',
  title: `SIGTERM to the master, ${handovers} times`,
  promise: 'a stop hands over as koi handover does',
  onDemand: true,
  handOver: async (_lab, master) => {
    const exit = await master.stop(deadlineMs);
    if (exit !== 0) throw new Error(`${master.router.name} ended with ${exit}`);
  },
});
