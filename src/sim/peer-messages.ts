import type { PeerAnswer, PeerChannel, PeerMessage } from '../log/peer-channel.js';
import type { Random } from './random.js';
import type { SimulatedNode } from './simulated-node.js';
import type { VirtualTime } from './virtual-time.js';

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

  /** The channel as one node's agent has it. */
  channelOf(from: SimulatedNode): PeerChannel {
    return {
      ask: (to, message, timeoutMs) =>
        new Promise((resolve) => {
          let callOff: () => void = () => undefined;
          const finish = (answer: PeerAnswer | undefined): void => {
            callOff();
            this.#time.stir();
            resolve(answer);
          };
          callOff = this.#time.after(timeoutMs, () => inAgent(from, () => finish(undefined)));
          this.#ask(from, to, message, (answer) => inAgent(from, () => finish(answer)));
        }),
      tell: (to, message) => this.#ask(from, to, message, () => undefined),
    };
  }

  /** `answered` is called once, with undefined where nobody is there; never where a message gets lost. */
  #ask(
    from: SimulatedNode,
    to: string,
    message: PeerMessage,
    answered: (answer: PeerAnswer | undefined) => void,
  ): void {
    if (!from.link.isOpen) return;
    this.#travel(() => {
      const target = this.#nodes.get(to);
      const agent = target?.link.isOpen === true ? target.agent : undefined;
      if (agent === undefined) {
        this.#travel(() => answered(undefined));
        return;
      }
      agent.run(() => {
        this.#time.stir();
        void Promise.resolve(agent.answerPeer(message)).then((answer) =>
          this.#travel(() => {
            if (from.link.isOpen && target?.link.isOpen === true) answered(answer);
          }),
        );
      });
    });
  }

  #travel(arrive: () => void): void {
    this.#time.after(this.#random.between(...oneWayMs), arrive);
  }
}

/** An answer waits while the process that asked stands still, and is lost with it. */
function inAgent({ agent }: SimulatedNode, action: () => void): void {
  agent?.run(action);
}
