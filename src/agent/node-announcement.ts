import type { VrStateMessage } from '../ipc/protocol.js';
import type { ObservationPayload } from '../log/event.js';
import type { LogTimers } from '../log/timers.js';
import { buildInfo } from '../observe/build-info.js';
import type { FoldedLog } from './folded-log.js';
import type { OwnNode } from './own-node.js';

/** The entry is renewed at most so often, however fast what the node tracks comes and goes. */
export const announceEveryMs = 1000;

export interface NodeAnnouncementOptions {
  readonly node: Pick<OwnNode, 'config' | 'boot' | 'told' | 'isDrained' | 'place'>;
  readonly log: Pick<FoldedLog, 'reachable'>;
  readonly observe: (payload: ObservationPayload) => void;
  /** What could not be said yet can be: look again. */
  readonly onDue: () => void;
  readonly timers: LogTimers;
}

/** The node's entry in the log: its virtual routers, priorities and LAN addresses, from which others see its place. */
export class NodeAnnouncement {
  readonly #options: NodeAnnouncementOptions;
  #said: string | undefined;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #isOld = false;
  #callOff: (() => void) | undefined;

  constructor(options: NodeAnnouncementOptions) {
    this.#options = options;
  }

  /** The dataplane has told something else of a virtual router than what was announced. */
  get isOld(): boolean {
    return this.#isOld;
  }

  age(): void {
    this.#isOld = true;
  }

  /** It is not in the log, or of another run: it is said again, whatever it says. */
  forget(): void {
    this.#said = undefined;
  }

  /** What is new of it is not to wait. */
  hurry(): void {
    this.#saidAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Says what is new, if the log can be reached and has not just been told. */
  look(): void {
    const { node, log, observe, onDue, timers } = this.#options;
    const routers = node.config.virtualRouters.map((vr) => ({
      name: vr.name,
      protocol: vr.protocol,
      id: vr.id,
      priority: node.place(vr),
      interface: vr.interface.value,
      addresses: vr.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      lanAddress: node.told.get(vr.name)?.lanAddress ?? '',
      arbitration: vr.arbitration,
      ...configurationReported(node.told.get(vr.name)),
    }));
    const drained = node.isDrained;
    const said = JSON.stringify([node.boot, routers, drained]);
    if (!log.reachable) return;
    this.#isOld = false;
    if (said === this.#said) return;
    const waitMs = this.#saidAtMs + announceEveryMs - timers.nowMs();
    if (this.#said !== undefined && waitMs > 0) {
      this.#callOff ??= timers.after(waitMs, () => {
        this.#callOff = undefined;
        onDue();
      });
      return;
    }
    this.#said = said;
    this.#saidAtMs = timers.nowMs();
    observe({
      type: 'nodeStarted',
      version: buildInfo().version,
      virtualRouters: routers,
      ...(drained ? { drained } : {}),
    });
  }

  stop(): void {
    this.#callOff?.();
  }
}

const configurationReported = (told: VrStateMessage | undefined) =>
  told?.configuration === undefined ? {} : { configuration: told.configuration.running };

export const haveSameConfiguration = (before: VrStateMessage | undefined, { configuration }: VrStateMessage): boolean =>
  before?.configuration?.running.digest === configuration?.running.digest &&
  before?.configuration?.prepared?.digest === configuration?.prepared?.digest;

/** Whether the node's entry in the log says the same of both. */
export const areAnnouncedAlike = (before: VrStateMessage | undefined, now: VrStateMessage): boolean =>
  haveSameConfiguration(before, now) &&
  before?.priority === now.priority &&
  before.lanAddress === now.lanAddress &&
  (before.state === 'fault') === (now.state === 'fault');
