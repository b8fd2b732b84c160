import { type SimulationOptions, type SimulationResult, simulate } from './simulation.js';
import { addTally, emptyTally, type Tally } from './tally.js';

export interface CampaignOptions extends Omit<SimulationOptions, 'seed' | 'keepsTrace'> {
  readonly firstSeed: number;
  /** Seeds to run, one after another; default: without end. */
  readonly runs?: number | undefined;
  /** Called before each seed, and ends the campaign with false. */
  readonly goesOn?: ((report: CampaignReport) => boolean) | undefined;
}

export interface CampaignReport {
  readonly runs: number;
  readonly simulatedMs: number;
  /** What was found, with the end of its trace. */
  readonly failures: readonly SimulationResult[];
  readonly tally: Tally;
}

const failuresMax = 20;

/** Runs seed after seed; each that fails is run again for its trace. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { firstSeed, runs = Number.POSITIVE_INFINITY, goesOn = () => true, ...each } = options;
  let report: CampaignReport = { runs: 0, simulatedMs: 0, failures: [], tally: emptyTally };
  for (let seed = firstSeed; seed < firstSeed + runs && goesOn(report); seed++) {
    const result = await simulate({ ...each, seed });
    const failures =
      result.violation === undefined || report.failures.length >= failuresMax
        ? report.failures
        : [...report.failures, await simulate({ ...each, seed, keepsTrace: true })];
    report = {
      runs: report.runs + 1,
      simulatedMs: report.simulatedMs + result.simulatedMs,
      failures,
      tally: addTally(report.tally, result.tally),
    };
    // Signals, timers and whoever watches get their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return report;
}
