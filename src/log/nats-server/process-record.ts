import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { writePrivately } from './private-file.js';

/** Which process is our server: its id alone may be another's tomorrow. */
const processRecord = z.object({
  pid: z.int().positive(),
  /** proc_pid_stat(5), field 22: when it started, in clock ticks since the kernel did. */
  startTicks: z.string(),
  /** Identifies this run of the kernel. */
  kernelBoot: z.string(),
  /** Of the program and the configuration it runs with. */
  digest: z.string(),
});
export type ProcessRecord = z.output<typeof processRecord>;

export function digestOfServer(binary: string, configuration: string): string {
  return createHash('sha256').update(`${binary}\0${configuration}`).digest('hex');
}

/** Undefined where the process is gone already. */
export function recordOf(pid: number, digest: string): ProcessRecord | undefined {
  const startTicks = startTicksOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks, kernelBoot: kernelBoot(), digest };
}

export function isAlive(record: ProcessRecord): boolean {
  return record.kernelBoot === kernelBoot() && startTicksOf(record.pid) === record.startTicks;
}

export const writeRecord = (file: string, record: ProcessRecord): void => writePrivately(file, JSON.stringify(record));

/** Undefined where there is none that can be read. */
export function readRecord(file: string): ProcessRecord | undefined {
  try {
    return processRecord.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}

export const removeRecord = (file: string): void => rmSync(file, { force: true });

/** Undefined for a process that is gone, or dead and only not yet collected by its parent. */
function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in field 2 may hold blanks and parentheses; the third field follows its last ')'.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

const kernelBoot = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
