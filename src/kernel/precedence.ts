import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * Puts a process ahead of ordinary ones, where this one may: the nice value counts among the processes of one session, and
 * sched(7) has the kernel share the processors among sessions first, as long as no cgroup does (autogroup). So the
 * session gets the same value. It must be the process's own: whoever shares it comes first as well.
 * @param nice -20 to 19
 */
export function putAhead(pid: number, nice: number): void {
  for (const put of [() => setPriority(pid, nice), () => writeFileSync(`/proc/${pid}/autogroup`, `${nice}`)]) {
    try {
      put();
    } catch {
      // Without the right, where the process has ended, or where there are no autogroups: it runs as others do.
    }
  }
}
