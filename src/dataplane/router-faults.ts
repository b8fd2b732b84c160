import { ConfigurationGate } from '../core/configuration-gate.js';
import type { Fault } from '../core/reasons.js';
import { judgeTracks, type TrackVerdict } from '../core/tracking.js';
import type { Input } from '../core/vr-state.js';
import type { AdvertRefusal } from '../wire/reasons.js';
import type { RouterPlaces } from './router-places.js';
import type { RunningConfiguration } from './running-configuration.js';
import type { Scheduler } from './scheduler.js';
import type { Trackers } from './track/trackers.js';

export interface RouterFaultsOptions {
  readonly vr: string;
  readonly running: Pick<RunningConfiguration, 'config'>;
  readonly places: Pick<RouterPlaces, 'fault'>;
  readonly trackers: Pick<Trackers, 'items'>;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly now: () => number;
  readonly holdsAddresses: () => boolean;
  readonly give: (input: Input) => void;
}

/** Why one virtual router cannot serve, if it cannot: its interfaces, what it tracks, its configuration, its sync group. */
export class RouterFaults {
  readonly #options: RouterFaultsOptions;
  readonly #gate: ConfigurationGate;
  #tracked: TrackVerdict;
  #isGroupFaulty = false;

  constructor(options: RouterFaultsOptions) {
    this.#options = options;
    this.#gate = new ConfigurationGate(options.now());
    this.#tracked = this.#judgeTracks();
  }

  get current(): Fault | undefined {
    return this.own ?? (this.#isGroupFaulty ? 'group_failed' : undefined);
  }

  /** The machine hears of it. */
  tell(): void {
    const { give, now } = this.#options;
    give({ type: 'parent', fault: this.current, atMs: now() });
  }

  /** Whatever its sync group does. */
  get own(): Fault | undefined {
    const { fault } = this.#options.places;
    if (fault !== undefined) return fault;
    return this.#tracked.failed.length > 0 ? 'tracking_failed' : this.configuration;
  }

  /** Whoever serves goes on; nobody takes over with another configuration than the one in force. */
  get configuration(): Fault | undefined {
    const { running, holdsAddresses, now } = this.#options;
    if (running.config.arbitration === 'wire' || holdsAddresses()) return undefined;
    return this.#gate.isBarred(now()) ? 'configuration_differs' : undefined;
  }

  /** What is tracked takes so much off its standing. */
  get loss(): number {
    return -this.#tracked.adjustment;
  }

  /** Something that is tracked is another, or is weighted otherwise. @returns what follows from it is another */
  weighTracks(): { readonly isLossOther: boolean; readonly isFailureOther: boolean } {
    const before = this.#tracked;
    this.#tracked = this.#judgeTracks();
    const { adjustment, failed } = this.#tracked;
    return {
      isLossOther: adjustment !== before.adjustment,
      isFailureOther: failed.length > 0 !== before.failed.length > 0,
    };
  }

  #judgeTracks(): TrackVerdict {
    const { trackers, running } = this.#options;
    return judgeTracks(trackers.items(running.config.track));
  }

  /** Another of its sync group cannot serve, or all can. */
  setGroup(isFaulty: boolean): void {
    if (isFaulty === this.#isGroupFaulty) return;
    this.#isGroupFaulty = isFaulty;
    this.tell();
  }

  /** The log says whether what this node runs is in force. */
  setDiffering(differs: boolean): void {
    this.#gate.logSays(differs);
    this.tell();
  }

  /** An advert was refused, which may say that somebody serves with another configuration. */
  refused(reason: AdvertRefusal): void {
    if (this.#gate.refused(reason, this.#options.now())) this.#barred();
  }

  /** It is barred until some time, or longer. */
  #barred(): void {
    const { vr, scheduler, now } = this.#options;
    this.tell();
    const openAtMs = this.#gate.isBarred(now()) ? this.#gate.openAtMs : undefined;
    scheduler.set(`gate ${vr}`, openAtMs, () => this.#barred());
  }

  close(): void {
    this.#options.scheduler.set(`gate ${this.#options.vr}`, undefined, () => undefined);
  }
}
