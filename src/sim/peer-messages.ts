import type { Random } from './random.js';
import type { SimulatedNode } from './simulated-node.js';
import type { VirtualTime } from './virtual-time.js';

/** What one node says to another directly, past the log. */
export type PeerMessage =
  | { readonly type: 'areYouReady'; readonly from: string; readonly vr: string; readonly term: number }
  | { readonly type: 'iServe'; readonly from: string; readonly vr: string; readonly term: number }
  | { readonly type: 'handOverToMe'; readonly from: string; readonly vr: string };

export interface PeerAnswer {
  readonly ready: boolean;
  /** The highest term that the node has used or heard of. */
  readonly highestTerm?: number;
}

const oneWayMs = [0.2, 2] as const;

/** Direct messages between agents over the log's servers: best effort, and they need no stream. */
export class PeerMessages {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #nodes = new Map<string, SimulatedNode>();

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  add(node: SimulatedNode): void {
    this.#nodes.set(node.id, node);
  }

  tell(from: SimulatedNode, to: string, message: PeerMessage): void {
    this.ask(from, to, message, () => undefined);
  }

  /** `answered` is called once, with undefined where nobody is there; never where a message gets lost. */
  ask(from: SimulatedNode, to: string, message: PeerMessage, answered: (answer: PeerAnswer | undefined) => void): void {
    if (!from.log.carriesMessages) return;
    this.#travel(() => {
      const target = this.#nodes.get(to);
      const agent = target?.log.carriesMessages === true ? target.agent : undefined;
      if (agent === undefined) {
        this.#travel(() => answered(undefined));
        return;
      }
      agent.run(() => {
        const answer = agent.answerPeer(message);
        this.#travel(() => {
          if (from.log.carriesMessages && target?.log.carriesMessages === true) answered(answer);
        });
      });
    });
  }

  #travel(arrive: () => void): void {
    this.#time.after(this.#random.between(...oneWayMs), arrive);
  }
}
