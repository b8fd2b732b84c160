import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInMachine } from './boot.js';
import type { Finding } from './guest/report.js';
import { buildImage, cacheDirectory, type Image, missing } from './image.js';

/**
 * Koi on Debian's kernel with what this machine's may lack: bonds, VLANs, netem, and Debian's own ifupdown and ifenslave
 * at work on them. `KOI_VM_ROUNDS=all` runs every round, a number so many of each, `least` what `npm test` has time for;
 * otherwise a few.
 */
const asked = process.env.KOI_VM_ROUNDS;
const lacks = process.getuid?.() === 0 ? missing() : 'it needs root';

interface Case {
  readonly scenario: string;
  readonly least: string;
  readonly few: string;
  readonly many: string;
  readonly promise: string;
}

const cases: readonly Case[] = [
  {
    scenario: 'boot-order',
    least: '1',
    few: '5',
    many: '50',
    promise: 'in any order of starts the VIP ends on the VLAN of the bond',
  },
  {
    scenario: 'slave-failover',
    least: '1',
    few: '3',
    many: '10',
    promise: 'a cable of the bond is cut, and the VIP stays',
  },
  {
    scenario: 'rebuild',
    least: '1',
    few: '2',
    many: '10',
    promise: 'a bond torn down and built again carries the VIP again',
  },
  {
    scenario: 'networkd',
    least: '1',
    few: '2',
    many: '10',
    promise: 'systemd-networkd and koi start together, and both stay',
  },
  { scenario: 'lossy-wire', least: '10', few: '30', many: '120', promise: 'delay and loss make nobody take over' },
];

const machineDeadlineMs = asked === undefined || asked === 'least' ? 590_000 : 3_600_000;

describe.skipIf(lacks !== undefined)(`in a virtual machine${lacks === undefined ? '' : ` (skipped: ${lacks})`}`, () => {
  let image: Image;
  beforeAll(() => {
    image = buildImage();
  }, 120_000);

  for (const { scenario, least, few, many, promise } of cases) {
    const rounds = asked === 'all' ? many : asked === 'least' ? least : (asked ?? few);
    test(`${scenario}: ${promise}`, { timeout: machineDeadlineMs + 10_000 }, async () => {
      const finding = await found(image, scenario, rounds);
      process.stdout.write(`${scenario}: ${JSON.stringify(finding.figures)}\n`);
      expect(finding.problems).toEqual([]);
    });
  }
});

/** Runs it, unless the very same image has passed it with as many rounds before: emulation is slow, and the same bytes stay. */
async function found(image: Image, scenario: string, rounds: string): Promise<Finding> {
  const passed = join(cacheDirectory, `passed-${image.digest}`, `${scenario}-${rounds}.json`);
  if (existsSync(passed) && process.env.KOI_VM_AGAIN === undefined) {
    process.stdout.write(`${scenario}: passed before with this very image; KOI_VM_AGAIN=1 runs it again\n`);
    return JSON.parse(readFileSync(passed, 'utf8')) as Finding;
  }
  const lines = await runInMachine(image, scenario, [rounds], machineDeadlineMs);
  const last = lines.findLast((line) => line.startsWith('{'));
  if (last === undefined)
    throw new Error(`${scenario} reported nothing; see .lab/vm/${scenario}.console:\n${lines.join('\n')}`);
  const finding = JSON.parse(last) as Finding;
  if (finding.problems.length === 0) {
    mkdirSync(join(passed, '..'), { recursive: true });
    writeFileSync(passed, last);
  }
  return finding;
}
