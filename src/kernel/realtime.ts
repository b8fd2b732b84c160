import { binding } from './binding.js';
import { type ErrnoName, errnoName } from './errno.js';

/** @returns why not */
const refusal = (result: number): ErrnoName | undefined => (result < 0 ? errnoName(result) : undefined);

/**
 * Gives the event loop a real-time priority (SCHED_RR, sched(7)), 1 to 99: it runs before every ordinary thread of the
 * machine. Programs that are started do not inherit it.
 * @returns why not: EPERM without CAP_SYS_NICE where RLIMIT_RTPRIO is lower
 */
export const prioritizeLoop = (priority: number): ErrnoName | undefined => refusal(binding().prioritize(priority));

/**
 * Keeps in memory whatever this process has touched and will touch (mlockall(2), MCL_ONFAULT).
 * @returns why not: EPERM or ENOMEM without CAP_IPC_LOCK where RLIMIT_MEMLOCK is lower
 */
export const lockMemory = (): ErrnoName | undefined => refusal(binding().lockMemory());
