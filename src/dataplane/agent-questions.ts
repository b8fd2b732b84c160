import type { Input } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import { type AgentRequest, agentRequest, withoutAgent } from '../ipc/agent-request.js';
import type { AdvertRoute } from './advert-route.js';
import type { AgentServer } from './agent-server.js';
import type { LanProof } from './lan-proof.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterPlaces } from './router-places.js';

export interface AgentQuestionsOptions {
  readonly vr: string;
  readonly machine: Pick<RouterMachine, 'vr'>;
  readonly route: Pick<AdvertRoute, 'lanAddress'>;
  readonly places: Pick<RouterPlaces, 'virtualMac'>;
  readonly lan: Pick<LanProof, 'whileChallenging' | 'carries'>;
  readonly agent: Pick<AgentServer, 'send'>;
  readonly now: () => number;
  readonly give: (input: Input) => void;
  readonly onFailed: (what: AgentRequest['type'], error: unknown) => void;
}

/** What one virtual router asks the agent for: claims, challenges and handovers. Where there is no agent, that is the answer. */
export class AgentQuestions {
  readonly #options: AgentQuestionsOptions;

  constructor(options: AgentQuestionsOptions) {
    this.#options = options;
  }

  ask(request: AgentRequest): void {
    if (request.type === 'askHandover') {
      void this.#askOnceSeen(request);
      return;
    }
    this.#send(request);
    if (request.type === 'challenge') void this.#lookWhileChallenging(request);
  }

  #send(request: AgentRequest): void {
    const { vr, machine, route, places, agent, now, give, onFailed } = this.#options;
    const { lanAddress } = route;
    const { virtualMac } = places;
    let isSent = false;
    try {
      isSent = agent.send(agentRequest(request, { name: vr, machine: machine.vr, lanAddress, virtualMac }));
      if (isSent && request.type === 'claim') failpoints?.passed('claim.asked');
      if (isSent && request.type === 'startHandover') failpoints?.passed('handover.asked');
      if (isSent && request.type === 'tellServing') failpoints?.passed('prepare.told');
      if (isSent) return;
    } catch (error) {
      onFailed(request.type, error);
    }
    const answer = withoutAgent(request, isSent);
    if (answer !== undefined) queueMicrotask(() => give({ ...answer, atMs: now() }));
  }

  /** Whoever asks a holder how its LAN is looks at its own meanwhile. */
  async #lookWhileChallenging({ claim }: Extract<AgentRequest, { type: 'challenge' }>): Promise<void> {
    const { lan, now, give } = this.#options;
    const carries = await lan.whileChallenging();
    if (carries !== undefined) give({ type: 'ownLook', claim: claim.id, carries, atMs: now() });
  }

  /** Where nobody would hear this node serve, it leaves the address where it is. */
  async #askOnceSeen(request: Extract<AgentRequest, { type: 'askHandover' }>): Promise<void> {
    if (await this.#options.lan.carries()) this.#send(request);
  }
}
