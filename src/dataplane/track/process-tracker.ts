import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { ProcessTrack } from '../../config/config.js';
import { poll } from './polling.js';
import type { OnReading, Watching } from './watching.js';

/** The kernel keeps so much of a program's name (TASK_COMM_LEN less the closing NUL). */
const commLength = 15;
const restFactor = 20;

/**
 * Up while at least `quorum` processes of this name run. Those found before are looked at first: as long as they
 * suffice, no look goes through the whole of /proc.
 */
export function watchProcess(track: ProcessTrack, onReading: OnReading): Watching {
  const { process: name, quorum, intervalMs, rise, fall } = track;
  let known: readonly string[] = [];
  const look = () => {
    known = known.filter((pid) => isRunning(pid, name));
    if (known.length < quorum) known = processIds().filter((pid) => isRunning(pid, name));
    const detail = `${known.length} of ${quorum} ${name}${quorum === 1 ? '' : ' processes'} running`;
    return { isOk: known.length >= quorum, detail };
  };
  return poll({ intervalMs, rise, fall, look, onReading, restFactor });
}

const processIds = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

/** By the name the kernel has, or, for a longer one, by the program that was started; a zombie does not run. */
function isRunning(pid: string, name: string): boolean {
  try {
    // `pid (name) state …`, where the name may hold anything, parentheses included: proc_pid_stat(5).
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const end = stat.lastIndexOf(')');
    if (stat[end + 2] === 'Z' || stat[end + 2] === 'X') return false;
    const comm = stat.slice(stat.indexOf('(') + 1, end);
    if (comm === name) return true;
    if (name.length <= commLength || !name.startsWith(comm)) return false;
    const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return basename(program) === name;
  } catch {
    // It ended meanwhile.
    return false;
  }
}
