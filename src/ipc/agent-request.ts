import { noTerm } from '../core/identity.js';
import type { Effect, Input, Vr } from '../core/vr-state.js';
import type { ToAgent } from './protocol.js';

/** What the machine wants of the agent. */
export type AgentRequest = Extract<
  Effect,
  { type: 'claim' | 'challenge' | 'askReady' | 'startHandover' | 'tellServing' | 'askHandover' }
>;

type Untimed<T> = T extends unknown ? Omit<T, 'atMs'> : never;

/** The virtual router that asks, as the log is to know it. */
export interface Asking {
  readonly name: string;
  readonly machine: Vr;
  /** The addresses its adverts come from, joined by commas; null for none. */
  readonly lanAddress: string | null;
  readonly virtualMac: string;
}

/** The same as it goes over the socket. */
export type AgentRequestMessage = Extract<ToAgent, { type: AgentRequest['type'] }>;

export function agentRequest(
  effect: AgentRequest,
  { name: vr, machine, lanAddress, virtualMac }: Asking,
): AgentRequestMessage {
  const { arbitration, arbitrationTimeoutMs, challengeTimeoutMs } = machine.parameters;
  switch (effect.type) {
    case 'claim': {
      const { term, claim, reason } = effect;
      const position = { claim: claim.id, term, expected: claim.expected };
      return { type: 'claim', vr, ...position, reason, timeoutMs: arbitrationTimeoutMs, lanAddress, virtualMac };
    }
    case 'challenge': {
      const { term, claim, holder } = effect;
      // In `strict` it is the log that is asked, for a revocation.
      const timeoutMs = arbitration === 'strict' ? arbitrationTimeoutMs : challengeTimeoutMs;
      return { type: 'challenge', vr, claim: claim.id, term, holder, lanAddress, timeoutMs };
    }
    case 'startHandover': {
      const { term, claim, to } = effect;
      const position = { claim: claim.id, term, expected: claim.expected };
      return {
        type: 'startHandover',
        vr,
        to,
        ...position,
        reason: machine.lastReason,
        timeoutMs: arbitrationTimeoutMs,
      };
    }
    case 'askReady':
      return { type: 'askReady', vr, to: effect.to, term: effect.term };
    case 'tellServing':
      return { type: 'tellServing', vr, to: effect.to, term: effect.term };
    case 'askHandover':
      return { type: 'askHandover', vr, of: effect.of };
  }
}

/**
 * What the machine is told where no agent answers; undefined where it does not wait for an answer.
 * @param isAsked an agent may have got the question and done what it asks for
 */
export function withoutAgent(effect: AgentRequest, isAsked = false): Untimed<Input> | undefined {
  switch (effect.type) {
    case 'claim':
    case 'startHandover':
      return {
        type: 'claimAnswer',
        claim: effect.claim.id,
        term: effect.term,
        answer: { kind: 'unavailable', maybeStored: isAsked },
      };
    case 'challenge':
      return { type: 'challengeAnswer', claim: effect.claim.id, verdict: { kind: 'unasked' } };
    case 'askReady':
      return { type: 'peerReady', from: effect.to, ready: false, highestTerm: noTerm };
    default:
      return undefined;
  }
}
