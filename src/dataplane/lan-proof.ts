import { rulesOf } from '../core/election-rules.js';
import type { NodeId } from '../core/identity.js';
import { freshAnswerMs, handoverLookMs, neighboursWaitMs } from '../core/lan-reach.js';
import { type ServingReport, servingReport } from '../core/serving.js';
import type { DemuxedFrame } from '../wire/demux.js';
import { readHolderProbe } from '../wire/holder-probe.js';
import { zeroMac } from '../wire/mac.js';
import type { AdvertRoute } from './advert-route.js';
import { probesTo, rehearseProbes } from './challenged.js';
import type { ParentPort } from './parent-port.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterPlaces } from './router-places.js';

export interface LanProofOptions {
  readonly machine: Pick<RouterMachine, 'vr'>;
  readonly route: Pick<AdvertRoute, 'config' | 'sources'>;
  readonly places: Pick<RouterPlaces, 'fault'>;
  readonly parent: Pick<ParentPort, 'state' | 'send' | 'carries' | 'isAnswered' | 'isHeard' | 'rehearseLook'>;
  readonly nodeAt: (lanAddress: string) => NodeId | undefined;
  /** Everything is in place. */
  readonly isAttached: () => boolean;
}

/** Whether the LAN carries what this node says: asked by whoever challenges a holder, of both, and before a handover. */
export class LanProof {
  readonly #options: LanProofOptions;

  constructor(options: LanProofOptions) {
    this.#options = options;
  }

  /** Another node asks whether this one serves; it can be reached at these addresses, and waits so long. */
  async challenged(lanAddresses: readonly string[], timeoutMs: number): Promise<ServingReport> {
    const { machine, route, places, parent, isAttached } = this.#options;
    const report = (carries: boolean): ServingReport =>
      servingReport(machine.vr, isAttached(), carries && places.fault === undefined);
    const now = report(true);
    if (now !== 'serves') return now;
    parent.send(probesTo(lanAddresses, route.sources, route.config, parent.state.mac ?? zeroMac));
    const { intervalMs } = rulesOf(machine.vr.parameters.election);
    return report(await parent.carries(neighboursWaitMs(timeoutMs), freshAnswerMs(intervalMs)));
  }

  /** This node is to take over: whether the LAN would carry what it says. At these addresses is a node that is there. */
  async isHeard(lanAddresses: readonly string[]): Promise<ServingReport> {
    const { places, parent } = this.#options;
    const isHeard = places.fault === undefined && (await parent.isHeard(handoverLookMs, lanAddresses));
    return isHeard ? 'not_serving' : 'lan_down';
  }

  /** The same before it asks for a handover: where nobody would hear it serve, it leaves the address where it is. */
  carries(): Promise<boolean> {
    return this.#options.parent.carries(handoverLookMs);
  }

  /**
   * Whoever asks a holder how its LAN is looks at its own, within the time that the holder has for it.
   * @returns undefined where that is not of interest
   */
  async whileChallenging(): Promise<boolean | undefined> {
    const { machine, parent } = this.#options;
    const { parameters, masterIntervalMs } = machine.vr;
    if (parameters.arbitration !== 'log') return undefined;
    return await parent.isAnswered(neighboursWaitMs(parameters.challengeTimeoutMs), freshAnswerMs(masterIntervalMs));
  }

  /** A challenged holder's probe counts while this node challenges the one that sent it. @returns that one */
  proberOf(frame: DemuxedFrame, octets: Uint8Array): NodeId | undefined {
    const { route, nodeAt } = this.#options;
    const probe = readHolderProbe(frame, octets);
    if (probe === undefined || probe.id !== route.config.id || probe.protocol !== route.config.protocol)
      return undefined;
    return Object.values(route.sources).includes(probe.target) ? nodeAt(probe.source) : undefined;
  }

  /** Goes the way of a challenge, and asks nobody. */
  rehearse(): void {
    const { route, parent } = this.#options;
    rehearseProbes(route.sources, route.config);
    parent.rehearseLook();
  }
}
