import type { OwnershipDesk } from '../../src/agent/ownership-desk.js';
import { rulesOf } from '../../src/core/election-rules.js';
import { type Term, term } from '../../src/core/identity.js';
import { clockDriftMax, expiresAtMs, leaseMarginMs } from '../../src/core/lease.js';
import { step } from '../../src/core/vr-machine.js';
import type { Effect, Input, Step, Vr } from '../../src/core/vr-state.js';
import { isOwn } from '../../src/core/vr-step.js';
import type { FaultName } from '../../src/sim/faults.js';
import { productRules } from '../../src/sim/simulation.js';
import type { Desk, Mode, Rules } from '../../src/sim/world.js';

/** The product's rules with one of them broken: each has to be found, or the simulator proves nothing. */
export interface BrokenRule {
  readonly name: string;
  readonly mode: Mode;
  /** Those that tell; default: drawn from the seed. */
  readonly faults?: readonly FaultName[];
  readonly rules: Rules;
  /** The seed that found it last: tried first, since others take their time. */
  readonly tells: number;
  /** Seeds within which it has to be found. */
  readonly withinSeeds: number;
}

type StepFunction = Rules['step'];

const withStep = (broken: StepFunction): Rules => ({ ...productRules, step: broken });
const withDesk = (broken: Partial<Desk>, desk: OwnershipDesk): Desk => ({
  newest: (vr) => desk.newest(vr),
  forget: () => desk.forget(),
  claim: (message, boot) => desk.claim(message, boot),
  startHandover: (message, boot) => desk.startHandover(message, boot),
  release: (order) => desk.release(order),
  ...broken,
});

const withEffects = (
  vr: Vr,
  input: Input,
  change: (effects: readonly Effect[], after: Vr) => readonly Effect[],
): Step => {
  const after = step(vr, input);
  return { vr: after.vr, effects: change(after.effects, after.vr) };
};

/** A claim goes over whatever stands in the log when it is written. */
const unpinned: Rules = {
  ...productRules,
  desk: (desk) =>
    withDesk(
      {
        claim: (message, boot) => desk.claim({ ...message, expected: desk.newest(message.vr)?.sequence ?? 0 }, boot),
      },
      desk,
    ),
};

/** The announcement goes out when the attach begins. */
const announcesEarly: StepFunction = (vr, input) =>
  withEffects(vr, input, (effects) =>
    effects.flatMap((effect): Effect[] => (effect.type === 'attach' ? [effect, { type: 'announce' }] : [effect])),
  );

/** The LAN is told before the addresses are off. */
const resignsEarly: StepFunction = (vr, input) =>
  withEffects(vr, input, (effects, after) =>
    effects.flatMap((effect): Effect[] =>
      effect.type === 'detach'
        ? [{ type: 'advert', candidacy: rulesOf(after.parameters.election).farewell }, effect]
        : [effect],
    ),
  );

/** After a takeover without the log the next claim takes the same term again. */
const reusesTerm: StepFunction = (vr, input) => {
  const after = step(vr, input);
  const left =
    vr.phase.name === 'releasing' && after.vr.phase.name === 'backup' && vr.phase.standing.kind === 'provisional';
  return left ? { ...after, vr: { ...after.vr, highestTerm: before(after.vr.highestTerm) } } : after;
};
const before = (value: Term): Term => term(Math.max(0, value - 1));

/** A master takes no notice of a higher term. */
const ignoresHigherTerm: StepFunction = (vr, input) => {
  const after = step(vr, input);
  const isDeposed = after.vr.phase.name === 'releasing' && after.vr.phase.reason === 'higher_term';
  return isDeposed && input.type === 'log' ? { vr, effects: [] } : after;
};

/** Two masters of one LAN: neither gives way. */
const neverYields: StepFunction = (vr, input) => {
  const after = step(vr, input);
  return after.vr.phase.name === 'releasing' && after.vr.phase.reason === 'better_advert' && vr.phase.name === 'master'
    ? { vr, effects: [] }
    : after;
};

/** A master that the log has forgotten still takes itself for the logged one: how it was found. */
const trustsWhatItWas: StepFunction = (vr, input) => {
  const { phase } = vr;
  if (input.type !== 'log' || phase.name !== 'master' || phase.standing.kind !== 'logged') return step(vr, input);
  const { ownership } = input.view;
  const isForgotten = ownership === undefined || (!isOwn(vr, ownership, phase.term) && ownership.term <= phase.term);
  return isForgotten ? { vr: { ...vr, log: { ...input.view } }, effects: [] } : step(vr, input);
};

/** A provisional master that never lets the log know. */
const neverConfirms: StepFunction = (vr, input) =>
  withEffects(vr, input, (effects, after) =>
    after.phase.name === 'master' ? effects.filter(({ type }) => type !== 'claim') : effects,
  );

/** Two masters of one cluster tell each other nothing. */
const sendsNoNotice: StepFunction = (vr, input) =>
  withEffects(vr, input, (effects) => effects.filter(({ type }) => type !== 'notice'));

/** Whatever the operator wants where the log is away, the protocol's rules go on. */
const ignoresOnLogLoss: StepFunction = (vr, input) =>
  step({ ...vr, parameters: { ...vr.parameters, onLogLoss: 'wire' } }, input);

/** Whoever holds lets nothing go, however long the log has been away. */
const holdsWithoutLog: StepFunction = (vr, input) =>
  step({ ...vr, parameters: { ...vr.parameters, onLogLoss: 'hold' } }, input);

/** A process that stood still goes on as if nothing had been. */
const ignoresSleep: StepFunction = (vr, input) => (input.type === 'overslept' ? { vr, effects: [] } : step(vr, input));

/** What the log does not say is so. */
const believesSilence: StepFunction = (vr, input) =>
  step(vr, input.type === 'proof' ? { ...input, fromMs: Number.NEGATIVE_INFINITY } : input);

/** One node takes a silent holder for gone, and does not ask it: only the log shows it. */
const asksNobody: StepFunction = (vr, input) => {
  const after = step(vr, input);
  const asked = after.effects.find((effect) => effect.type === 'challenge');
  if (asked === undefined || vr.parameters.node !== 'n1') return after;
  const { atMs } = input;
  const verdict = { kind: 'gone', why: 'no_answer' } as const;
  const then = step(after.vr, { type: 'challengeAnswer', claim: asked.claim.id, verdict, atMs });
  return { vr: then.vr, effects: [...after.effects.filter((effect) => effect !== asked), ...then.effects] };
};

/** Whoever has another configuration than the one in force takes over all the same. */
const servesAnything: StepFunction = (vr, input) => {
  const isBarred = input.type === 'parent' && input.fault === 'configuration_differs';
  return step(vr, isBarred ? { ...input, fault: undefined } : input);
};

/** Notices go along with answers to adverts only. */
const answersNoNotice: StepFunction = (vr, input) =>
  withEffects(vr, input, (effects) =>
    input.type === 'notice' ? effects.filter(({ type }) => type !== 'notice') : effects,
  );

/** A challenger takes itself for one that the LAN hears. */
const looksAtNobody: StepFunction = (vr, input) =>
  step(vr, input.type === 'ownLook' ? { ...input, carries: true } : input);

/** `onPathSplit: take` also from a holder whose adverts were never heard here. */
const takesWhatItNeverHeard: StepFunction = (vr, input) => step({ ...vr, heardClaim: vr.log.ownership?.claim }, input);

/** A lease that was not seen renewed for long enough needs no revocation. */
const revokesNothing: Rules = {
  ...productRules,
  revoker: (_, leases, clock) => ({
    revoke: (holder) => {
      const watch = leases.watch(holder);
      if (watch === undefined) return Promise.resolve({ kind: 'unavailable' });
      const untilMs = expiresAtMs(watch);
      return Promise.resolve(clock().monotonicMs < untilMs ? { kind: 'leased', untilMs } : { kind: 'revoked' });
    },
  }),
};

/** Everybody's clock is right. */
const ignoresDrift: Rules = {
  ...productRules,
  addressesEndWithLease: false,
  watch: (watch) => ({ ...watch, ttlMs: watch.ttlMs / (1 + clockDriftMax) - 2 * leaseMarginMs }),
};

/** Whoever takes over is taken to have held from when it began to wait. */
const countsFromSilence: Rules['together'] = (desk) => ({
  look: () => desk.look(),
  read: (stored) => {
    const { event } = stored;
    const begins = event?.payload.type === 'transition' && event.payload.to === 'master';
    return desk.read(begins ? { ...stored, event: { ...event, monotonicMs: event.monotonicMs - 300 } } : stored);
  },
});

/** A release in the log is believed to free the address, whoever else is heard on the LAN. */
const obeysEveryRelease: StepFunction = (vr, input) =>
  step(input.type === 'log' ? { ...vr, lastAdvertBy: input.view.ownership?.owner } : vr, input);

/** Looked for at each tenth look alone: once in 10 s. */
const looksSeldom: Rules['together'] = (desk) => {
  let looks = 0;
  return {
    read: (stored) => desk.read(stored),
    look: () => {
      looks += 1;
      if (looks % 10 === 0) desk.look();
    },
  };
};

export const brokenRules: readonly BrokenRule[] = [
  {
    name: 'a claim that expects the newest',
    mode: 'log',
    faults: ['bothCut', 'slowLog', 'port', 'carrier'],
    rules: unpinned,
    tells: 23,
    withinSeeds: 300,
  },
  {
    name: 'a claim that expects the newest, in strict',
    mode: 'strict',
    faults: ['bothCut', 'slowLog', 'port', 'carrier'],
    rules: unpinned,
    tells: 67,
    withinSeeds: 300,
  },
  {
    name: 'a term used again after a provisional one',
    mode: 'log',
    faults: ['bothCut', 'logStall', 'allKilled', 'powerLost'],
    rules: withStep(reusesTerm),
    tells: 50,
    withinSeeds: 200,
  },
  {
    name: 'a takeover without a revocation',
    mode: 'strict',
    faults: ['staleReader', 'port', 'oneWay'],
    rules: revokesNothing,
    tells: 172,
    withinSeeds: 200,
  },
  {
    name: 'clocks taken for right',
    mode: 'strict',
    faults: ['bothCut', 'logCut'],
    rules: ignoresDrift,
    tells: 4,
    withinSeeds: 200,
  },
  {
    name: 'silence of the log believed',
    mode: 'strict',
    faults: ['wiped', 'restored', 'port', 'agentPaused'],
    rules: withStep(believesSilence),
    tells: 1,
    withinSeeds: 300,
  },
  {
    name: 'addresses that outlive the lease of a node that died',
    mode: 'strict',
    faults: ['evicted', 'pair'],
    rules: { ...productRules, addressesEndWithLease: false },
    tells: 4,
    withinSeeds: 200,
  },
  {
    name: 'a kernel that never forgets an address',
    mode: 'log',
    faults: ['allKilled', 'evicted'],
    rules: { ...productRules, addressesExpire: false },
    tells: 2,
    withinSeeds: 100,
  },
  {
    name: 'a guard that leaves the addresses of a dead dataplane',
    mode: 'log',
    faults: ['dataplaneKilled'],
    rules: { ...productRules, guardFences: false },
    tells: 1,
    withinSeeds: 100,
  },
  {
    name: 'a guard that leaves the addresses of a hung dataplane',
    mode: 'wire',
    faults: ['dataplanePaused'],
    rules: { ...productRules, guardFences: false },
    tells: 4,
    withinSeeds: 100,
  },
  {
    name: 'a takeover without the log that onLogLoss forbids',
    mode: 'log',
    faults: ['logCut', 'dataplaneKilled', 'carrier'],
    rules: withStep(ignoresOnLogLoss),
    tells: 9,
    withinSeeds: 100,
  },
  {
    name: 'an address held without the log for longer than onLogLoss allows',
    mode: 'log',
    faults: ['logCut', 'logStall'],
    rules: withStep(holdsWithoutLog),
    tells: 6,
    withinSeeds: 100,
  },
  {
    name: 'a node that does not mind having slept',
    mode: 'strict',
    faults: ['machinePaused', 'bothCut', 'port'],
    rules: withStep(ignoresSleep),
    tells: 16,
    withinSeeds: 100,
  },
  {
    name: 'another configuration that takes over',
    mode: 'log',
    faults: ['dataplaneKilled', 'logCut', 'carrier'],
    rules: withStep(servesAnything),
    tells: 1,
    withinSeeds: 200,
  },
  {
    name: 'a notice that nobody answers',
    mode: 'log',
    faults: ['port', 'logCut', 'carrier'],
    rules: withStep(answersNoNotice),
    tells: 210,
    withinSeeds: 100,
  },
  {
    name: 'a holder that nobody asks',
    mode: 'log',
    faults: ['pair'],
    rules: withStep(asksNobody),
    tells: 3,
    withinSeeds: 50,
  },
  {
    name: 'a challenger that does not look at its own LAN',
    mode: 'log',
    faults: ['pair'],
    rules: withStep(looksAtNobody),
    tells: 1,
    withinSeeds: 100,
  },
  {
    name: 'a path that is lost under a holder never heard over it',
    mode: 'log',
    faults: ['pair'],
    rules: withStep(takesWhatItNeverHeard),
    tells: 3,
    withinSeeds: 100,
  },
  {
    name: 'preemption by a node that nobody hears',
    mode: 'log',
    faults: ['pair'],
    rules: { ...productRules, looksBeforeAsking: false },
    tells: 41,
    withinSeeds: 200,
  },
  {
    name: 'two that held at once, of whom nobody reads in the log',
    mode: 'log',
    rules: { ...productRules, together: () => ({ read: () => undefined, look: () => undefined }) },
    tells: 45,
    withinSeeds: 100,
  },
  {
    name: 'a change of masters that is told as two of them',
    mode: 'log',
    rules: { ...productRules, together: countsFromSilence },
    tells: 9,
    withinSeeds: 100,
  },
  {
    name: 'two that held at once, who are looked for once in 10 s',
    mode: 'log',
    rules: { ...productRules, together: looksSeldom },
    tells: 44,
    withinSeeds: 100,
  },
  {
    name: 'a release in the log that is obeyed beside a master who is heard',
    mode: 'wire',
    rules: withStep(obeysEveryRelease),
    tells: 514,
    withinSeeds: 50,
  },
  { name: 'masters that send no notice', mode: 'log', rules: withStep(sendsNoNotice), tells: 20, withinSeeds: 150 },
  { name: 'announcing before the attach', mode: 'log', rules: withStep(announcesEarly), tells: 1, withinSeeds: 5 },
  {
    name: 'resigning before the addresses are off',
    mode: 'log',
    rules: withStep(resignsEarly),
    tells: 1,
    withinSeeds: 10,
  },
  {
    name: 'terms that a restart forgets',
    mode: 'log',
    rules: { ...productRules, keepsTerms: false },
    tells: 4,
    withinSeeds: 100,
  },
  {
    name: 'a master that ignores a higher term',
    mode: 'log',
    rules: withStep(ignoresHigherTerm),
    tells: 3,
    withinSeeds: 100,
  },
  {
    name: 'masters that never give way on the LAN',
    mode: 'wire',
    rules: withStep(neverYields),
    tells: 1,
    withinSeeds: 20,
  },
  {
    name: 'a master that does not notice that the log lost it',
    mode: 'log',
    rules: withStep(trustsWhatItWas),
    tells: 16,
    withinSeeds: 200,
  },
  {
    name: 'a master without the log that never tells it',
    mode: 'log',
    rules: withStep(neverConfirms),
    tells: 4,
    withinSeeds: 100,
  },
];
