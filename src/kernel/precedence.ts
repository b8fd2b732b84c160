import { readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * Puts a process ahead of ordinary ones, where this one may: the nice value counts among the processes of one session, and
 * sched(7) has the kernel share the processors among sessions first, as long as no cgroup does (autogroup). So the
 * session gets the same value, where it is the process's own; of a shell's everything else would come first as well.
 * @param nice -20 to 19
 */
export function putAhead(pid: number, nice: number): void {
  attempt(() => setPriority(pid, nice));
  attempt(() => {
    if (leadsSession(pid)) writeFileSync(`/proc/${pid}/autogroup`, `${nice}`);
  });
}

function attempt(put: () => void): void {
  try {
    put();
  } catch {
    // Without the right, where the process has ended, or where there are no autogroups: it runs as others do.
  }
}

/** proc_pid_stat(5): after the name, which may hold anything, come state, parent, process group and session. */
function leadsSession(pid: number): boolean {
  const [, , , session] = (readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1) ?? '').split(' ');
  return Number(session) === pid;
}
