import { claimId, nodeId, sequence, term } from '../core/identity.js';
import type { Input } from '../core/vr-state.js';
import type { ToDataplane } from './protocol.js';

/** What the agent says to one virtual router's machine. */
export type ForMachine = Extract<
  ToDataplane,
  { type: 'claimAnswer' | 'challengeAnswer' | 'handOver' | 'peerReady' | 'peerServes' }
>;

/** The same in the core's words. */
export function machineInput(message: ForMachine, atMs: number): Input {
  switch (message.type) {
    case 'claimAnswer': {
      const { claim, answer } = message;
      const read = answer.kind === 'stored' ? { kind: answer.kind, sequence: sequence(answer.sequence) } : answer;
      return { type: 'claimAnswer', claim: claimId(claim), term: term(message.term), answer: read, atMs };
    }
    case 'challengeAnswer':
      return { type: 'challengeAnswer', claim: claimId(message.claim), verdict: message.verdict, atMs };
    case 'handOver':
      return { type: 'handOver', to: message.to === null ? undefined : nodeId(message.to), stops: false, atMs };
    case 'peerReady': {
      const { from, ready, highestTerm } = message;
      return { type: 'peerReady', from: nodeId(from), ready, highestTerm: term(highestTerm), atMs };
    }
    case 'peerServes':
      return { type: 'peerServes', from: nodeId(message.from), term: term(message.term), atMs };
  }
}
