import { nowMs } from './clock.js';
import type { Lab } from './lab.js';
import type { OwnersSince } from './ownership.js';
import type { WrongFrame } from './recorder.js';
import type { Bound, Check, Measured, Scenario } from './scenario.js';
import { waitUntil } from './wait.js';

/** One run of a scenario, measured and judged. */
export interface RunResult {
  readonly scenario: string;
  readonly run: number;
  /** The router that was master, and the one that was it in the end. */
  readonly victim: string;
  readonly successor: string | undefined;
  readonly at: string;
  readonly outageMs: number;
  readonly lost: number;
  readonly late: number;
  readonly sent: number;
  readonly oneOwnerMs: number | undefined;
  readonly severalOwnersMs: number;
  readonly noOwnerMs: number;
  readonly owners: readonly OwnersSince[];
  readonly wrongFrames: readonly WrongFrame[];
  readonly checks: readonly Check[];
  /** What broke, one sentence each; empty where every promise held. */
  readonly broken: readonly string[];
}

/** How long the VIP may take to settle before the run is given up. */
const settleDeadlineMs = 15_000;
/** The VIP must have answered without a gap for this long to count as settled. */
const steadyMs = 200;

/**
 * Runs a scenario once on a cluster that is whole, and undoes it; the cluster is left to `makeWhole`.
 *
 * @param judgedUntilMs frames from here on were not judged yet
 */
export async function runScenario(
  lab: Lab,
  scenario: Scenario,
  run: number,
  judgedUntilMs: number,
): Promise<RunResult> {
  const victim = lab.master();
  const act = await scenario.begin(lab, victim);
  const broken: string[] = [];
  const since = new Date();
  const fromMs = nowMs();
  lab.say(`${scenario.name}: failing ${victim.router.name}`);
  await act.inject();
  if (scenario.vip !== 'stays') await settle(lab, scenario, victim.router.name, fromMs).catch(note);
  const settledOn = lab.owners.now()[0];
  lab.say(`${scenario.name}: observing`);
  await act.observe?.().catch(note);
  const untilMs = nowMs();

  const client = await lab.prober.judge(fromMs, untilMs);
  const ownership = lab.owners.judge(fromMs, untilMs);
  const measured: Measured = { fromMs, untilMs, since, client, ownership };
  const checks = (await act.checks?.(measured)) ?? [];
  await act.restore?.();
  const wrongFrames = lab.recorder.wrongFrames(judgedUntilMs);
  const incomplete = lab.recorder.incomplete();

  if (scenario.vip === 'stays' && ownership.owners.join() !== victim.router.name) {
    broken.push(`the VIP moved to ${ownership.owners.join(' and ') || 'nobody'}`);
  }
  broken.push(...breaches(scenario.bound(lab.timing), measured, scenario.vip !== 'stays'));
  broken.push(...checks.filter((each) => !each.ok).map((each) => `${each.name}: ${each.detail}`));
  if (wrongFrames.length > 0) broken.push(`${wrongFrames.length} frames bound the VIP to a wrong MAC`);
  if (incomplete !== undefined) broken.push(incomplete);

  return {
    scenario: scenario.name,
    run,
    victim: victim.router.name,
    successor: settledOn,
    at: since.toISOString(),
    outageMs: client.outageMs,
    lost: client.lost,
    late: client.late,
    sent: client.sent,
    oneOwnerMs: ownership.oneOwnerAfterMs,
    severalOwnersMs: ownership.severalMs,
    noOwnerMs: ownership.noneMs,
    owners: lab.owners.history(fromMs, untilMs),
    wrongFrames,
    checks,
    broken,
  };

  function note(error: unknown): void {
    broken.push(error instanceof Error ? error.message : String(error));
  }
}

async function settle(lab: Lab, scenario: Scenario, victim: string, fromMs: number): Promise<void> {
  await waitUntil(
    'the VIP to settle',
    () => {
      const owners = lab.owners.now();
      if (owners.length !== 1) return `it is held by ${owners.join(' and ') || 'nobody'}`;
      if (scenario.vip === 'moves' && owners[0] === victim) return `${victim} still holds it`;
      // Only probes sent since the failure may speak for the time after it.
      return nowMs() - fromMs < steadyMs + 50 ? 'it is too early to tell' : lab.prober.answering(steadyMs);
    },
    { deadlineMs: settleDeadlineMs },
  );
}

function breaches(bound: Bound, { client, ownership }: Measured, mayStayAway: boolean): string[] {
  const broken: string[] = [];
  if (bound.outageMs !== undefined && client.outageMs > bound.outageMs) {
    broken.push(`outage ${client.outageMs.toFixed(1)} ms, bound ${bound.outageMs} ms`);
  }
  if (client.outageOpen && client.outageMs > 100) broken.push('the VIP did not answer again');
  if (bound.lost !== undefined && client.lost > bound.lost) broken.push(`${client.lost} probes lost`);
  if (mayStayAway && ownership.oneOwnerAfterMs === undefined) {
    broken.push(`the VIP is held by ${ownership.owners.join(' and ') || 'nobody'} in the end`);
  }
  if (bound.oneOwnerMs !== undefined && (ownership.oneOwnerAfterMs ?? 0) > bound.oneOwnerMs) {
    broken.push(`one owner after ${ownership.oneOwnerAfterMs?.toFixed(1)} ms, bound ${bound.oneOwnerMs} ms`);
  }
  if (bound.severalMs !== undefined && ownership.severalMs > bound.severalMs) {
    broken.push(`two owners for ${ownership.severalMs.toFixed(1)} ms, bound ${bound.severalMs} ms`);
  }
  return broken;
}
