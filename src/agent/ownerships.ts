import type { Logger } from 'pino';
import type { Ownership } from '../core/ownership.js';
import type { ClaimAnswer } from '../core/vr-state.js';
import type { ToAgent } from '../ipc/protocol.js';
import type { EventLog } from '../log/port.js';
import { realTimers } from '../log/timers.js';
import type { DataplanePort } from './dataplane-port.js';
import { DeadDataplane } from './dead-dataplane.js';
import type { FoldedLog } from './folded-log.js';
import type { OwnNode } from './own-node.js';
import { OwnershipDesk, type OwnershipDeskOptions } from './ownership-desk.js';
import { ReleaseDesk } from './release-desk.js';

type Request<Type extends ToAgent['type']> = Extract<ToAgent, { type: Type }>;

export interface OwnershipsOptions
  extends Required<Pick<OwnershipDeskOptions, 'holderVerdict' | 'newEventId' | 'clock' | 'onAppend' | 'onWritten'>> {
  readonly node: OwnNode;
  readonly events: EventLog;
  readonly log: Pick<FoldedLog, 'state' | 'reachable'>;
  readonly dataplane: Pick<DataplanePort, 'send' | 'up'>;
  /** A handover stands in the log, or may; `why` it does not. */
  readonly onHandover: (vr: string, why: string | undefined, term: number) => void;
  /** The log has something of this node's that the dataplane may have to be told. */
  readonly onStored: () => void;
  readonly logger: Logger;
}

/** The agent's claims, handovers and releases: what the dataplane wants written of an ownership, and what it is answered. */
export class Ownerships {
  readonly #options: OwnershipsOptions;
  readonly #desk: OwnershipDesk;
  readonly #releases: ReleaseDesk;
  readonly #dead: DeadDataplane;
  #isStopped = false;

  constructor(options: OwnershipsOptions) {
    this.#options = options;
    const { node, events, log, dataplane, logger, onStored } = options;
    const { holderVerdict, newEventId, clock, onAppend, onWritten } = options;
    this.#desk = new OwnershipDesk({
      log: events,
      cluster: node.config.cluster,
      node: node.name,
      priorityOf: (vr) => node.placeIn(vr),
      state: () => log.state,
      holderVerdict,
      newEventId,
      clock,
      onAppend,
      onWritten,
      onFailed: (what, vr, error) => logger.error({ vr, err: error }, `${vr}: ${what} may not be in the log`),
    });
    this.#releases = new ReleaseDesk({ desk: this.#desk, reachable: () => log.reachable, onWritten: onStored });
    this.#dead = new DeadDataplane({
      releases: this.#releases,
      isOver: () => this.#isStopped || dataplane.up,
      log: logger,
      timers: realTimers,
    });
  }

  /** The newest ownership known here: what the log delivered, or what it has acknowledged since. */
  newest(vr: string): Ownership | undefined {
    return this.#desk.newest(vr);
  }

  /** The log is wanted by claims and releases now. */
  get isBusy(): boolean {
    return this.#desk.isBusy;
  }

  /** The log has an ownership event, whoever wrote it. */
  saw(): void {
    this.#desk.saw();
  }

  /** What this node wrote may not be in the log any more. */
  forget(): void {
    this.#desk.forget();
  }

  async claim(message: Request<'claim'>): Promise<void> {
    const { node, log } = this.#options;
    this.#answer(message, log.reachable ? await this.#desk.claim(message, node.boot) : unreachable);
  }

  async startHandover(message: Request<'startHandover'>): Promise<void> {
    const { node, log, onHandover } = this.#options;
    const answer = log.reachable ? await this.#desk.startHandover(message, node.boot) : unreachable;
    onHandover(message.vr, whyNotStarted(answer), message.term);
    this.#answer(message, answer);
  }

  release({ vr, term, reason, number, resigned }: Request<'released'>): void {
    const { node, dataplane } = this.#options;
    const order = { vr, term, reason, boot: node.boot };
    this.#releases.add(order, resigned, () => dataplane.send({ type: 'taken', number }));
  }

  /** Its guard takes the addresses off; what it owned is released once they are gone. */
  dataplaneDied(): void {
    const { config, name, boot } = this.#options.node;
    for (const vr of config.virtualRouters) {
      const held = this.#desk.newest(vr.name);
      if (held === undefined || held.released || held.owner !== name || held.boot !== boot) continue;
      const addresses = vr.addresses.map(({ address }) => address);
      this.#dead.release({ vr: vr.name, term: held.term, reason: 'dataplane_lost', boot }, addresses);
    }
  }

  /** Writes the releases that wait. */
  flush(): Promise<void> {
    return this.#releases.flush();
  }

  /** Nothing more is written; what waits the dataplane keeps. */
  stop(): void {
    this.#isStopped = true;
    this.#releases.stop();
  }

  #answer({ vr, claim, term }: Request<'claim' | 'startHandover'>, answer: ClaimAnswer): void {
    const { dataplane, onStored } = this.#options;
    dataplane.send({ type: 'claimAnswer', vr, claim, term, answer });
    if (answer.kind === 'stored') onStored();
  }
}

const unreachable: ClaimAnswer = { kind: 'unavailable', maybeStored: false };

/** Why the log has no handover; undefined where it has, or may have. */
function whyNotStarted(answer: ClaimAnswer): string | undefined {
  switch (answer.kind) {
    case 'stored':
      return undefined;
    case 'conflict':
      return 'something newer stood in the log';
    case 'unavailable':
      return answer.maybeStored ? undefined : 'the log did not answer';
  }
}
