import type { Candidacy } from '../core/election-rules.js';
import type { Effect, Input } from '../core/vr-state.js';

const describeCandidacy = (candidacy: Candidacy): string =>
  candidacy.kind === 'vrrp' ? `priority ${candidacy.priority}` : `advskew ${candidacy.advskew}`;

/** An input of the machine as a trace shows it, after its type. */
export function describeInput(input: Input): string {
  switch (input.type) {
    case 'advert':
      return `from ${input.advert.node ?? input.advert.source}, ${describeCandidacy(input.advert.candidacy)}`;
    case 'log': {
      const { reachable, ownership, place } = input.view;
      const owned =
        ownership === undefined
          ? 'nobody'
          : `${ownership.owner} term ${ownership.term} at ${ownership.sequence}${ownership.released ? ', released' : ''}`;
      return `${reachable ? 'reachable' : 'away'}: ${owned}, place ${place}`;
    }
    case 'claimAnswer':
      return `${input.claim} term ${input.term}: ${input.answer.kind}`;
    case 'parent':
      return input.fault ?? 'well';
    case 'termSaved':
      return `${input.term}`;
    case 'ownLease':
      return input.endsAtMs === undefined ? 'none' : `for ${Math.round(input.endsAtMs - input.atMs)} ms`;
    case 'proof':
      return input.fromMs === undefined ? 'none' : `in ${Math.round(input.fromMs - input.atMs)} ms`;
    case 'notice': {
      const { node, termHeld, logged, highestLoggedTerm } = input.notice;
      return `of ${node}: term ${termHeld} ${logged ? 'logged' : 'provisional'}, knows of ${highestLoggedTerm}`;
    }
    case 'challengeAnswer':
      return `${input.claim}: ${input.verdict.kind} ${'why' in input.verdict ? input.verdict.why : ''}`;
    case 'ownLook':
      return `${input.claim}: the LAN ${input.carries ? 'carries' : 'does not carry'}`;
    case 'peerReady':
      return `${input.from} ${input.ready ? 'is ready' : 'is not ready'}`;
    case 'peerServes':
      return `${input.from} term ${input.term}`;
    case 'handOver':
      return `to ${input.to ?? 'the successor'}${input.stops ? ' and stop' : ''}`;
    default:
      return '';
  }
}

/** The same for an effect. */
export function describeEffect(effect: Effect): string {
  switch (effect.type) {
    case 'advert':
      return describeCandidacy(effect.candidacy);
    case 'claim':
      return `${effect.claim.id} term ${effect.term} over ${effect.claim.expected} (${effect.reason})`;
    case 'transition':
      return `${effect.from} → ${effect.to} (${effect.reason}), term ${effect.term} ${effect.standing ?? ''}`;
    case 'released':
      return `term ${effect.term} (${effect.reason})`;
    case 'startHandover':
    case 'askReady':
    case 'tellServing':
      return `to ${effect.to}, term ${effect.term}`;
    case 'challenge':
      return `${effect.holder} with ${effect.claim.id} over ${effect.claim.expected}`;
    case 'splitBrain':
      return `${effect.rival} ${effect.began ? 'began' : 'ended'}`;
    case 'askHandover':
      return `of ${effect.of}`;
    case 'attach':
    case 'saveTerm':
      return `term ${effect.term}`;
    default:
      return '';
  }
}
