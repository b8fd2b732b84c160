import type { ToAgent, ToDataplane } from '../ipc/protocol.js';
import { Lane } from './lane.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

const delayMs = [0.03, 0.3] as const;

interface End<Message> {
  readonly receive: (message: Message) => void;
  readonly closed: () => void;
}

/** The unix socket between agent and dataplane: in order, and what was written before an end died is still read. */
export class IpcPair {
  readonly #toAgent: Lane;
  readonly #toDataplane: Lane;
  readonly #agent: End<ToAgent>;
  readonly #dataplane: End<ToDataplane>;
  #isOpen = true;

  constructor(time: VirtualTime, random: Random, agent: End<ToAgent>, dataplane: End<ToDataplane>) {
    const delay = (): number => random.between(...delayMs);
    this.#toAgent = new Lane(time, delay);
    this.#toDataplane = new Lane(time, delay);
    this.#agent = agent;
    this.#dataplane = dataplane;
  }

  tellAgent(message: ToAgent): boolean {
    if (this.#isOpen) this.#toAgent.send(() => this.#agent.receive(message));
    return this.#isOpen;
  }

  tellDataplane(message: ToDataplane): boolean {
    if (this.#isOpen) this.#toDataplane.send(() => this.#dataplane.receive(message));
    return this.#isOpen;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#toAgent.send(() => this.#agent.closed());
    this.#toDataplane.send(() => this.#dataplane.closed());
  }
}
