import { bootId, claimId, nodeId, sequence, term } from './identity.js';
import { emptyLogView, type Ownership } from './ownership.js';
import { createVr, step } from './vr-machine.js';
import type { Input, Phase, VrParameters } from './vr-state.js';

/*
 * One life of a made-up virtual router, from its start over a takeover to a release. Nothing it asks for is carried out:
 * it is there so that the code of a takeover is compiled before the first one, which would wait several milliseconds.
 */

const other = nodeId('rehearsal');
const held: Ownership = {
  owner: other,
  boot: bootId('rehearsal'),
  term: term(1),
  claim: claimId('rehearsal.1'),
  sequence: sequence(1),
  released: false,
  handedBy: undefined,
};
const attemptsMax = 3;

/** @returns the phases it went through, and whether it asked the holder, for tests */
export function rehearse(parameters: VrParameters): (Phase['name'] | 'challenging')[] {
  let vr = createVr({ ...parameters, startDelayMs: 0 });
  const phases: (Phase['name'] | 'challenging')[] = [];
  const give = (input: Input): void => {
    vr = step(vr, input).vr;
    if (vr.phase.name !== phases.at(-1)) phases.push(vr.phase.name);
  };
  const log = (ownership: Ownership): void =>
    give({
      type: 'log',
      view: { ...emptyLogView, reachable: true, ownership, highestTerm: ownership.term },
      atMs: 0,
    });
  give({ type: 'parent', fault: undefined, atMs: 0 });
  give({ type: 'ownLease', endsAtMs: Number.MAX_SAFE_INTEGER, atMs: 0 });
  log(held);
  // A master that falls silent is asked whether it serves, and it does.
  give({ type: 'tick', atMs: 1_000_000 });
  const challenge = vr.phase.name === 'backup' ? vr.phase.challenge : undefined;
  if (challenge !== undefined) {
    phases.push('challenging');
    const { id } = challenge.claim;
    give({ type: 'ownLook', claim: id, carries: true, atMs: 1_000_000 });
    give({ type: 'challengeAnswer', claim: id, verdict: { kind: 'serves' }, atMs: 1_000_000 });
  }
  log({ ...held, sequence: sequence(2), released: true });
  // Where the log decides nothing, silence does.
  for (let attempt = 1; attempt <= attemptsMax && vr.phase.name === 'backup'; attempt++) {
    give({ type: 'tick', atMs: attempt * 1_000_000 });
  }
  const atMs = (attemptsMax + 1) * 1_000_000;
  if (vr.phase.name === 'claiming' && vr.phase.claim !== undefined) {
    const { term: claimed, claim } = vr.phase;
    give({
      type: 'claimAnswer',
      claim: claim.id,
      term: claimed,
      answer: { kind: 'stored', sequence: sequence(3) },
      atMs,
    });
  }
  give({ type: 'termSaved', term: vr.highestTerm, atMs });
  give({ type: 'attached', atMs });
  give({ type: 'tick', atMs: atMs + 1_000_000 });
  give({ type: 'parent', fault: 'carrier_lost', atMs });
  give({ type: 'detached', atMs });
  return phases;
}
