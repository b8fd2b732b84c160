import type { KoiConfig } from '../config/config.js';
import type { ErrnoName } from '../kernel/errno.js';

export interface RealtimeMeans {
  /** Each returns why not. */
  readonly prioritizeAdverts: (priority: number) => ErrnoName | undefined;
  readonly prioritizeLoop: (priority: number) => ErrnoName | undefined;
  readonly lockMemory: () => ErrnoName | undefined;
  readonly warn: (reason: ErrnoName, message: string) => void;
}

/** Of the thread that sends adverts where nothing is said: it decides nothing, and is done within microseconds. */
const advertsPriority = 1;

/** What the configuration asks of the kernel, as far as this process may. What was asked for and is refused is told. */
export function putInForce({ priority, lockMemory }: KoiConfig['realtime'], means: RealtimeMeans): void {
  const adverts = means.prioritizeAdverts(priority ?? advertsPriority);
  // An event loop that somebody else has made a real-time one stays as it is, unless it is asked for.
  const loop = priority === undefined || priority === 0 ? undefined : means.prioritizeLoop(Math.max(1, priority - 1));
  const refused = loop ?? adverts;
  if (priority !== undefined && refused !== undefined) {
    means.warn(
      refused,
      `realtime.priority ${priority} is not in force: allow it by CAP_SYS_NICE, or by LimitRTPRIO=${priority} in the systemd unit`,
    );
  }
  const unlocked = lockMemory ? means.lockMemory() : undefined;
  if (unlocked === undefined) return;
  means.warn(
    unlocked,
    'realtime.lockMemory is not in force: allow it by CAP_IPC_LOCK, or by LimitMEMLOCK=infinity in the systemd unit',
  );
}
