import type { ToAgent, VrStateMessage } from '../ipc/protocol.js';
import type { AgentServer } from './agent-server.js';

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** What goes into the log. */
type UnstampedNews = DistributiveOmit<
  Extract<ToAgent, { type: 'released' | 'transition' | 'masterActive' | 'repaired' | 'advertPath' | 'splitBrain' }>,
  'number' | 'wallMs' | 'monotonicMs'
>;

export interface RouterNewsOptions {
  readonly agent: Pick<AgentServer, 'keep' | 'send'>;
  readonly now: () => number;
  readonly wallNow: () => number;
  /** How it is, at this moment. */
  readonly describe: () => VrStateMessage;
  readonly interfaceName: () => string;
}

/** What the agent is told of one virtual router: what happened, for the log, and how it is now. */
export class RouterNews {
  readonly #options: RouterNewsOptions;
  /** The agent is to be told how it is. */
  #isTelling = false;
  #isGone = false;
  /** What the agent knows the interface by: its name may change while nothing else does. */
  #toldInterface: string | undefined;

  constructor(options: RouterNewsOptions) {
    this.#options = options;
  }

  /** For the log. */
  keep(news: UnstampedNews): void {
    const { agent, now, wallNow } = this.#options;
    agent.keep({ ...news, wallMs: wallNow(), monotonicMs: now() });
  }

  /** At the end of this turn of the loop, and once: what is over by then is told to nobody. */
  tellState(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    const { agent, describe, interfaceName } = this.#options;
    this.#toldInterface = interfaceName();
    setImmediate(() => {
      this.#isTelling = false;
      if (!this.#isGone) agent.send({ type: 'state', state: describe() });
    });
  }

  /** The interface may have another name. */
  tellName(): void {
    if (this.#options.interfaceName() !== this.#toldInterface) this.tellState();
  }

  /** There is nothing left to tell of. */
  close(): void {
    this.#isGone = true;
  }
}
