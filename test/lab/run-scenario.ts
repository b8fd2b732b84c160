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
  /** Times above their bound by no more than a machine that does other work can lose, one sentence each. */
  readonly slow: readonly string[];
}

/** What a busy machine takes from everything that runs on it; whatever breaks by more is broken, however busy. */
export const stallMs = 500;
/** How long the VIP may take to settle before the run is given up. */
const settleDeadlineMs = 15_000;
/** The VIP must have answered without a gap for this long to count as settled. */
const steadyMs = 200;

/**
 * Runs a scenario once on a cluster that is whole, and undoes it; the cluster is left to `makeWhole`.
 *
 * @param judgedUntilMs frames from here on were not judged yet
 * @param allowanceMs over a bound by so much a time is slow, not broken
 */
export async function runScenario(
  lab: Lab,
  scenario: Scenario,
  run: number,
  judgedUntilMs: number,
  allowanceMs: number,
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
  const bound = scenario.bound(lab.timing);
  broken.push(...breaches(bound, measured, scenario.vip !== 'stays'));
  const late = overruns(bound, measured);
  broken.push(...late.filter(({ byMs }) => byMs > allowanceMs).map(({ what }) => what));
  const slow = late.filter(({ byMs }) => byMs <= allowanceMs).map(({ what }) => what);
  broken.push(...checks.filter((each) => !each.ok).map((each) => `${each.name}: ${each.detail}`));
  if (wrongFrames.length > 0) broken.push(`${wrongFrames.length} frames bound the VIP to a wrong MAC`);
  if (incomplete !== undefined) broken.push(incomplete);

  return {
    scenario: scenario.name,
    run,
    victim: victim.router.name,
    successor: settledOn,
    at: since.toISOString(),
    outageMs: act.outageMs?.() ?? client.outageMs,
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
    slow,
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
  // A few probes whose answers are still to be read are no outage.
  if (client.outageOpen && client.outageMs > 100 && client.lost > 50) broken.push('the VIP did not answer again');
  if (bound.lost !== undefined && client.lost > bound.lost) broken.push(`${client.lost} probes lost`);
  if (mayStayAway && ownership.oneOwnerAfterMs === undefined) {
    broken.push(`the VIP is held by ${ownership.owners.join(' and ') || 'nobody'} in the end`);
  }
  return broken;
}

function overruns(bound: Bound, { client, ownership }: Measured): { readonly what: string; readonly byMs: number }[] {
  const times: readonly (readonly [string, number, number | undefined])[] = [
    ['outage', client.outageMs, bound.outageMs],
    ['one owner after', ownership.oneOwnerAfterMs ?? 0, bound.oneOwnerMs],
    // Nothing that is slow may make it longer: it has no allowance.
    ['two owners for', ownership.severalMs, bound.severalMs],
  ];
  return times.flatMap(([what, ms, most]) => {
    if (most === undefined || ms <= most) return [];
    const byMs = what === 'two owners for' ? Number.POSITIVE_INFINITY : ms - most;
    return [{ what: `${what} ${ms.toFixed(1)} ms, bound ${most} ms`, byMs }];
  });
}
