import type { AttachmentGroup } from '../attach/attachment-group.js';
import { placeOf } from '../core/election-rules.js';
import type { TransitionReason } from '../core/reasons.js';
import { standingOf } from '../core/vr-news.js';
import { stateName, type VrStateName } from '../core/vr-state.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { VrSnapshot } from '../observe/snapshot.js';
import type { AdvertHearing } from './advert-hearing.js';
import type { AdvertRoute } from './advert-route.js';
import type { LinkKeeper } from './link-keeper.js';
import type { ParentPort } from './parent-port.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterDetectors } from './router-detectors.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterPlaces } from './router-places.js';
import type { RunningConfiguration } from './running-configuration.js';
import type { Trackers } from './track/trackers.js';

export interface RouterReportOptions {
  readonly vr: string;
  readonly machine: Pick<RouterMachine, 'vr' | 'holdsAddresses'>;
  readonly running: Pick<RunningConfiguration, 'config' | 'adapter' | 'described'>;
  readonly route: Pick<AdvertRoute, 'lanAddress'>;
  readonly places: Pick<RouterPlaces, 'virtualMac' | 'warnings'>;
  readonly parent: Pick<ParentPort, 'state'>;
  readonly attachment: Pick<AttachmentGroup, 'attached'>;
  readonly links: Pick<LinkKeeper, 'addresses' | 'problems'>;
  readonly hearing: Pick<AdvertHearing, 'master' | 'peersSeenMs' | 'warnings'>;
  readonly detectors: Pick<RouterDetectors, 'isSplit' | 'probeOf' | 'isHeard'>;
  readonly counters: Pick<RouterCounters, 'read'>;
  readonly trackers: Pick<Trackers, 'describe'>;
  readonly wallNow: () => number;
}

/** How one virtual router is: for the agent, and in numbers for the snapshot. */
export class RouterReport {
  readonly #options: RouterReportOptions;
  #sinceWallMs: number;
  #lastFrom: VrStateMessage['lastFrom'] = null;

  constructor(options: RouterReportOptions) {
    this.#options = options;
    this.#sinceWallMs = options.wallNow();
  }

  /** It has left this state a moment ago. */
  left(from: VrStateName): void {
    this.#sinceWallMs = this.#options.wallNow();
    this.#lastFrom = from;
  }

  describe(): VrStateMessage {
    const { vr: name, machine, running, route, places, parent, links, hearing, trackers } = this.#options;
    const { vr } = machine;
    const { phase } = vr;
    return {
      vr: name,
      state: stateName(phase),
      reason: vr.lastReason satisfies TransitionReason,
      term: 'term' in phase ? phase.term : vr.highestTerm,
      standing: standingOf(vr),
      sinceWallMs: this.#sinceWallMs,
      lastFrom: this.#lastFrom,
      heardMaster: phase.name === 'master' ? null : (hearing.master ?? null),
      interface: parent.state.name,
      virtualMac: places.virtualMac,
      lanAddress: route.lanAddress,
      priority: placeOf(vr.parameters.election),
      tracks: trackers.describe(running.config.track),
      warnings: [...links.problems, ...hearing.warnings, ...places.warnings],
      configuration: running.described,
    };
  }

  /** Of what was counted until now. @param present whether the kernel has an address */
  snapshot(present: (address: string) => boolean): VrSnapshot {
    const { vr: name, machine, running, attachment, links, hearing, detectors, counters } = this.#options;
    const { vr, holdsAddresses: desired } = machine;
    const { phase } = vr;
    const { checksums } = running.adapter;
    return {
      ...counters.read(),
      name,
      state: stateName(phase),
      priority: placeOf(vr.parameters.election),
      term: 'term' in phase ? phase.term : vr.highestTerm,
      virtualMacAttached: attachment.attached,
      splitBrain: detectors.isSplit,
      vips: links.addresses.map((address) => ({
        address,
        desired,
        present: present(address),
        ...detectors.probeOf(address),
      })),
      peers: [...hearing.peersSeenMs].map(([peer, lastSeenMs]) => ({
        peer,
        lastSeenMs,
        lanPathOk: detectors.isHeard(peer),
      })),
      ...(checksums.length === 0 ? {} : { checksums }),
    };
  }
}
