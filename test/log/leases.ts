import { LeaseDesk } from '../../src/agent/lease-desk.js';
import { LeaseRevoker } from '../../src/agent/lease-revoker.js';
import { type BootId, bootId, nodeId } from '../../src/core/identity.js';
import type { EventLog } from '../../src/log/port.js';
import type { LogNames } from '../../src/log/subjects.js';
import { type LogTimers, realTimers } from '../../src/log/timers.js';

export interface LeaseSettings {
  ttlMs: number;
  renewMs: number;
  renews: boolean;
}

/** One node's lease, as its agent keeps it, and what it told. */
export class LeaseNode {
  readonly desk: LeaseDesk;
  readonly revoker: LeaseRevoker;
  readonly told: (number | null)[] = [];
  readonly troubles: string[] = [];
  readonly revoked: { holder: string; silentMs: number; sequence: number }[] = [];
  readonly settings: LeaseSettings;
  boot: BootId | undefined;
  #ids = 0;

  /** @param life tells the agents of one node apart that follow on each other */
  constructor(
    log: EventLog,
    names: LogNames,
    node: string,
    options: { settings?: Partial<LeaseSettings>; timers?: LogTimers; life?: string; hasDataplane?: boolean } = {},
  ) {
    const { timers = realTimers, life = '1' } = options;
    this.settings = { ttlMs: 4000, renewMs: 1000, renews: true, ...options.settings };
    this.boot = options.hasDataplane === false ? undefined : bootId(`${node}-boot`);
    const newEventId = (): string => {
      this.#ids += 1;
      return `${node}.${life}.${this.#ids}`;
    };
    const clock = (): { wallMs: number; monotonicMs: number } => ({ wallMs: 1, monotonicMs: timers.nowMs() });
    const onAppend = (): void => undefined;
    this.desk = new LeaseDesk({
      log,
      names,
      node: nodeId(node),
      boot: () => this.boot,
      settings: () => this.settings,
      newEventId,
      clock,
      timers,
      tell: (endsAtMs) => this.told.push(endsAtMs),
      onCurrent: () => undefined,
      onAppend,
      onTrouble: (what) => this.troubles.push(what),
    });
    this.revoker = new LeaseRevoker({
      log,
      leases: this.desk,
      cluster: names.cluster,
      node: nodeId(node),
      boot: () => this.boot ?? bootId('none'),
      renewMs: () => this.settings.renewMs,
      newEventId,
      clock,
      onAppend,
      onRevoked: (holder, silentMs, sequence) => this.revoked.push({ holder, silentMs, sequence }),
    });
    this.desk.start();
  }

  stop(): void {
    this.desk.stop();
  }
}
