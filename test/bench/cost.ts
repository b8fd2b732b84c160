import { readFileSync } from 'node:fs';

/** USER_HZ, 100 wherever Linux runs today. */
const ticksPerSecond = 100;

/** What processes have used and hold. */
export interface Cost {
  readonly cpuMs: number;
  /** Proportional set size: what is shared counts once in all. */
  readonly memoryMiB: number;
}

/** Of all that still run. */
export function costOf(pids: readonly number[]): Cost {
  let cpuMs = 0;
  let memoryMiB = 0;
  for (const pid of pids) {
    try {
      const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
      const fields = rest.split(' ');
      cpuMs += ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
      const [, kib = '0'] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
      memoryMiB += Number(kib) / 1024;
    } catch {
      // It has ended.
    }
  }
  return { cpuMs, memoryMiB };
}
