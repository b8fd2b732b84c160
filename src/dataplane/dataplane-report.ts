import { stateName, type Vr } from '../core/vr-state.js';
import type { AdvertPump } from '../kernel/advert-pump.js';
import type { ServiceManager } from '../observe/service-manager.js';
import {
  advertLatenessBoundsSeconds,
  BucketCounter,
  type DataplaneSnapshot,
  type VrSnapshot,
} from '../observe/snapshot.js';
import type { GuardAudit } from './guard-audit.js';
import type { GuardKeeper } from './guard-keeper.js';
import type { ParentPort } from './parent-port.js';
import type { Scheduler } from './scheduler.js';
import { dataplaneStatus } from './service-status.js';

/** Each virtual router is told of so often, of more than a hundred as many a second. */
const everyMs = 1000;
const toldAtOnce = 20;
const partMsLeast = 200;

export interface Reported {
  readonly name: string;
  readonly machine: Vr;
  snapshot(present: (address: string) => boolean): VrSnapshot;
}

export interface DataplaneReportOptions<Router extends Reported> {
  /** Another one for each start. */
  readonly instance: string;
  readonly routers: () => Iterable<Router>;
  readonly ports: () => Iterable<Pick<ParentPort, 'state' | 'refused' | 'watch' | 'arpDropped'>>;
  /** Whether the kernel has an address of a virtual router. */
  readonly isPresent: (router: Router, address: string) => boolean;
  readonly guard: Pick<GuardKeeper, 'up'>;
  readonly pump: Pick<AdvertPump, 'lateness'>;
  readonly audit: Pick<GuardAudit, 'drifts'>;
  readonly isDrained: () => boolean;
  readonly send: (snapshot: DataplaneSnapshot) => void;
  readonly service: Pick<ServiceManager, 'status'> | undefined;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly now: () => number;
}

/** How the dataplane is, in numbers for the agent and in a line for the service manager. */
export class DataplaneReport<Router extends Reported> {
  readonly #options: DataplaneReportOptions<Router>;
  readonly #lateness = new BucketCounter(advertLatenessBoundsSeconds);
  readonly #fenced = new Map<string, number>();
  #part = 0;

  constructor(options: DataplaneReportOptions<Router>) {
    this.#options = options;
  }

  /** The event loop has sent an advert so late. */
  readonly advertLate = (lateMs: number): void => this.#lateness.observe(lateMs / 1000);

  /** The guard has taken addresses off. */
  fenced(reason: string): void {
    this.#fenced.set(reason, (this.#fenced.get(reason) ?? 0) + 1);
  }

  /** From now on; a few virtual routers at a time, so that no advert waits while many are told of. */
  readonly tell = (): void => {
    const { routers, send, service, isDrained, scheduler, now } = this.#options;
    const all = [...routers()];
    const parts = Math.max(1, Math.ceil(all.length / toldAtOnce));
    const part = this.#part % parts;
    this.#part = part + 1;
    send(this.#snapshot(all.slice(part * toldAtOnce, (part + 1) * toldAtOnce)));
    if (part === 0) {
      const states = all.map(({ name, machine }) => ({ name, state: stateName(machine.phase) }));
      service?.status(dataplaneStatus(states, isDrained()));
    }
    scheduler.set('snapshot', now() + Math.max(everyMs / parts, partMsLeast), this.tell);
  };

  #snapshot(told: readonly Router[]): DataplaneSnapshot {
    const { instance, guard, pump, audit, isPresent } = this.#options;
    const ports = [...this.#options.ports()];
    this.#lateness.add(pump.lateness());
    return {
      instance,
      guardUp: guard.up,
      vrs: told.map((router) => router.snapshot((address) => isPresent(router, address))),
      advertsRejected: ports.flatMap((port) =>
        [...port.refused].map(([reason, count]) => ({ interface: port.state.name, reason, count })),
      ),
      advertLateness: this.#lateness.read(),
      fenced: [...this.#fenced].map(([reason, count]) => ({ reason, count })),
      sysctlDrift: audit.drifts,
      detectors: ports.map(({ state, watch: { counts }, arpDropped }) => ({
        interface: state.name,
        frames: counts.frames,
        dropped: counts.dropped + arpDropped,
      })),
    };
  }
}
