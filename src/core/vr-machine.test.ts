import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Election, VrrpCandidacy } from './election-rules.js';
import { isHushed, readyTimeoutMs, servingTimeoutMs, settleMs, shownTimeoutMs } from './handover.js';
import { bootId, claimId, nodeId, sequence, term } from './identity.js';
import { answerLimitMs, noticeWaitMs } from './notice.js';
import { emptyLogView, type Ownership } from './ownership.js';
import { hasLease } from './strict.js';
import { claimStepMs } from './takeover.js';
import { reasonsFor } from './transitions.js';
import { createVr, dueAtMs, hasMissed, step } from './vr-machine.js';
import {
  type ChallengeVerdict,
  type Effect,
  type HeardAdvert,
  type Input,
  stateName,
  type Vr,
  type VrParameters,
} from './vr-state.js';
import { penaltyIntervals } from './vr-step.js';
import { masterDownIntervalMs, skewTimeMs } from './vrrp-timers.js';

const vrrp = (priority: number, advertIntervalMs = 1000): Election => ({
  protocol: 'vrrp3',
  priority,
  advertIntervalMs,
});

const base: VrParameters = {
  node: nodeId('r1'),
  boot: bootId('boot-r1'),
  election: vrrp(100),
  preempt: { enabled: true, delayMs: 0 },
  startDelayMs: 0,
  arbitration: 'log',
  onLogLoss: 'wire',
  onPathSplit: 'hold',
  arbitrationTimeoutMs: 50,
  challengeTimeoutMs: 30,
  leaseMs: 4000,
};

type AdvertOver = Partial<Pick<HeardAdvert, 'sourceOrder' | 'node'> & Omit<VrrpCandidacy, 'kind'>>;

const advert = ({ priority = 200, intervalMs = 1000, ...over }: AdvertOver = {}): HeardAdvert => ({
  source: '10.0.0.2',
  sourceOrder: 1,
  candidacy: { kind: 'vrrp', priority, intervalMs },
  node: nodeId('r2'),
  ...over,
});

const heldByR2: Ownership = {
  owner: nodeId('r2'),
  boot: bootId('boot-r2'),
  term: term(4),
  claim: claimId('boot-r2.1'),
  sequence: sequence(40),
  released: false,
  handedBy: undefined,
};

/** Drives one machine and keeps what it asked for. */
class Driver {
  vr: Vr;
  effects: Effect[] = [];

  constructor(over: Partial<VrParameters> = {}) {
    this.vr = createVr({ ...base, ...over });
  }

  give(input: Input): this {
    const result = step(this.vr, input);
    this.vr = result.vr;
    this.effects = [...result.effects];
    return this;
  }

  /** Lets time pass to the machine's own next deadline; returns that time. */
  expire(): number {
    const atMs = dueAtMs(this.vr);
    if (atMs === undefined) throw new Error(`nothing is timed in ${this.vr.phase.name}`);
    this.give({ type: 'tick', atMs });
    return atMs;
  }

  /** The same where a takeover begins: the recorded holder, if it is asked, is gone. */
  decide(): number {
    const atMs = this.expire();
    const asked = this.effects.find((effect) => effect.type === 'challenge');
    if (asked?.type !== 'challenge') return atMs;
    const verdict = { kind: 'gone', why: 'lease_expired' } as const;
    this.give({ type: 'challengeAnswer', claim: asked.claim.id, verdict, atMs });
    return atMs;
  }

  types(): string[] {
    return this.effects.map((effect) => effect.type);
  }

  find<Type extends Effect['type']>(type: Type): Extract<Effect, { type: Type }> {
    const found = this.effects.find((effect) => effect.type === type);
    if (found === undefined) throw new Error(`no ${type} among ${this.types().join(', ')}`);
    return found as Extract<Effect, { type: Type }>;
  }

  started(): this {
    return this.give({ type: 'parent', fault: undefined, atMs: 0 });
  }

  /** `strict`: a lease that outlasts the test. */
  leased(endsAtMs = 1e6): this {
    this.give({ type: 'proof', fromMs: 0, atMs: 0 });
    return this.give({ type: 'ownLease', endsAtMs, atMs: 0 });
  }

  /** The log grants the claim under way, and the disk has its term. */
  granted(): this {
    const { phase } = this.vr;
    if (phase.name !== 'claiming' || phase.claim === undefined) throw new Error(`no claim in ${phase.name}`);
    const atMs = phase.dueAtMs - 10;
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    this.give({ type: 'termSaved', term: phase.term, atMs });
    return this.give({ type: 'claimAnswer', claim: phase.claim.id, term: phase.term, answer, atMs });
  }

  logUp(ownership: Ownership | undefined, atMs = 0, place = 0): this {
    return this.give({
      type: 'log',
      view: { ...emptyLogView, reachable: true, ownership, place, successor: nodeId('r2') },
      atMs,
    });
  }

  logDown(atMs: number): this {
    return this.give({
      type: 'log',
      view: emptyLogView,
      atMs,
    });
  }

  state(): string {
    return stateName(this.vr.phase);
  }
}

const ownOf = (driver: Driver, over: Partial<Ownership> = {}): Ownership => ({
  owner: base.node,
  boot: base.boot,
  term: driver.vr.highestTerm,
  claim: claimId('boot-r1.1'),
  sequence: sequence(41),
  released: false,
  handedBy: undefined,
  ...over,
});

/** A master whose claim the log granted, at the returned time. */
function loggedMaster(over: Partial<VrParameters> = {}): { driver: Driver; atMs: number } {
  const driver = new Driver(over).leased().started().logUp(heldByR2);
  const atMs = driver.decide();
  const { claim, term: claimed } = driver.find('claim');
  driver.give({ type: 'termSaved', term: claimed, atMs });
  driver.give({
    type: 'claimAnswer',
    claim: claim.id,
    term: claimed,
    answer: { kind: 'stored', sequence: sequence(41) },
    atMs: atMs + 1,
  });
  driver.give({ type: 'attached', atMs: atMs + 2 });
  driver.logUp(ownOf(driver), atMs + 3);
  return { driver, atMs: atMs + 3 };
}

function wireMaster(over: Partial<VrParameters> = {}): { driver: Driver; atMs: number } {
  const driver = new Driver({ arbitration: 'wire', ...over }).started();
  const atMs = driver.expire();
  driver.give({ type: 'attached', atMs });
  return { driver, atMs };
}

describe('timers', () => {
  it('gives the interval of RFC 9568: priority 100 at 1 s is 3.609 s', () => {
    expect(masterDownIntervalMs(100, 1000)).toBeCloseTo(3609.375);
    expect(skewTimeMs(255, 1000)).toBeCloseTo(3.90625);
  });
});

describe('mode wire', () => {
  it('takes over after the master-down interval with skew, attaches, then adverts and announces', () => {
    const driver = new Driver({ arbitration: 'wire' }).started();
    expect(dueAtMs(driver.vr)).toBeCloseTo(3609.375);
    const atMs = driver.expire();
    expect(driver.types()).toEqual(['attach', 'transition']);
    driver.give({ type: 'attached', atMs });
    expect(driver.types()).toEqual(['advert', 'announce', 'transition']);
    expect(driver.state()).toBe('master');
  });

  it('adopts the interval of the master it hears', () => {
    const driver = new Driver({ arbitration: 'wire' }).started();
    driver.give({ type: 'advert', advert: advert({ intervalMs: 100 }), atMs: 500 });
    expect(dueAtMs(driver.vr)).toBeCloseTo(500 + masterDownIntervalMs(100, 100));
  });

  it('lets a worse master run out unless preemption is off', () => {
    const worse = advert({ priority: 50 });
    const eager = new Driver({ arbitration: 'wire' }).started().give({ type: 'advert', advert: worse, atMs: 900 });
    expect(dueAtMs(eager.vr)).toBeCloseTo(3609.375);
    eager.give({ type: 'advert', advert: worse, atMs: 3600 }).expire();
    expect(eager.find('transition').reason).toBe('preempting');
    const patient = new Driver({ arbitration: 'wire', preempt: { enabled: false, delayMs: 0 } }).started();
    patient.give({ type: 'advert', advert: worse, atMs: 900 });
    expect(dueAtMs(patient.vr)).toBeCloseTo(900 + 3609.375);
  });

  it('waits the preempt delay before it ignores a worse master', () => {
    const driver = new Driver({ arbitration: 'wire', preempt: { enabled: true, delayMs: 5000 } }).started();
    driver.give({ type: 'advert', advert: advert({ priority: 50 }), atMs: 4000 });
    expect(dueAtMs(driver.vr)).toBeCloseTo(4000 + 3609.375);
    driver.give({ type: 'advert', advert: advert({ priority: 50 }), atMs: 6000 });
    expect(dueAtMs(driver.vr)).toBeCloseTo(4000 + 3609.375);
  });

  it('follows a resignation after the skew time', () => {
    const driver = new Driver({ arbitration: 'wire' }).started();
    driver.give({ type: 'advert', advert: advert({ priority: 0 }), atMs: 1000 });
    expect(dueAtMs(driver.vr)).toBeCloseTo(1000 + skewTimeMs(100, 1000));
  });

  it('starts at once as the owner of the addresses', () => {
    const driver = new Driver({ arbitration: 'wire', election: vrrp(255) }).started();
    expect(driver.expire()).toBe(0);
    expect(driver.types()).toContain('attach');
  });

  it('yields to a better master, by priority and then by address, without resigning', () => {
    for (const better of [advert({ priority: 101 }), advert({ priority: 100, sourceOrder: 1 })]) {
      const { driver, atMs } = wireMaster();
      driver.give({ type: 'advert', advert: better, atMs: atMs + 10 });
      expect(driver.types()).toEqual(['detach', 'transition']);
      driver.give({ type: 'detached', atMs: atMs + 11 });
      expect(driver.types()).toEqual(['released', 'transition']);
      expect(driver.state()).toBe('backup');
    }
  });

  it('answers a worse master at once and announces again', () => {
    const { driver, atMs } = wireMaster();
    driver.give({ type: 'advert', advert: advert({ priority: 100, sourceOrder: -1 }), atMs: atMs + 10 });
    expect(driver.types()).toEqual(['advert', 'announce', 'splitBrain']);
    expect(dueAtMs(driver.vr)).toBe(atMs + 10 + 1000);
  });

  it('answers a resignation with an advert', () => {
    const { driver, atMs } = wireMaster();
    driver.give({ type: 'advert', advert: advert({ priority: 0 }), atMs: atMs + 10 });
    expect(driver.types()).toEqual(['advert']);
  });

  it('records its ownership as soon as the log can be reached', () => {
    const { driver, atMs } = wireMaster();
    driver.logUp(heldByR2, atMs + 5);
    expect(driver.find('claim').claim.expected).toBe(40);
  });

  it('sends no burst of adverts after a late tick', () => {
    const { driver, atMs } = wireMaster();
    driver.give({ type: 'tick', atMs: atMs + 2500 });
    expect(driver.types()).toEqual(['advert']);
    expect(dueAtMs(driver.vr)).toBe(atMs + 3500);
  });
});

describe('mode log', () => {
  it('claims after three intervals without skew, pinned to what it had read, and attaches on the grant', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const atMs = driver.decide();
    expect(atMs).toBe(3000);
    expect(driver.find('claim')).toMatchObject({ term: 5, claim: { expected: 40 }, reason: 'master_silent' });
    expect(driver.types()).not.toContain('attach');
    const { claim } = driver.find('claim');
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    driver.give({ type: 'claimAnswer', claim: claim.id, term: term(5), answer, atMs: atMs + 2 });
    expect(driver.types()).toEqual([]);
    driver.give({ type: 'termSaved', term: term(5), atMs: atMs + 3 });
    expect(driver.types()).toEqual(['attach']);
  });

  it('waits one claim step for each node ahead of it', () => {
    const driver = new Driver().started().logUp(heldByR2, 0, 2);
    expect(dueAtMs(driver.vr)).toBe(3000 + 2 * claimStepMs);
  });

  it('claims at once on a release in the log, and on priority 0', () => {
    const released = new Driver().started().logUp(heldByR2, 0);
    released.logUp({ ...heldByR2, sequence: sequence(41), released: true }, 700);
    expect(released.find('claim').claim.expected).toBe(41);
    const resigned = new Driver().started().logUp(heldByR2, 0);
    resigned.give({ type: 'advert', advert: advert({ priority: 0 }), atMs: 800 });
    expect(resigned.find('claim').reason).toBe('master_resigned');
    const second = new Driver().started().logUp(heldByR2, 0, 1);
    second.give({ type: 'advert', advert: advert({ priority: 0 }), atMs: 800 });
    expect(second.expire()).toBe(800 + claimStepMs);
  });

  it('takes a release that it only reads of when the log comes back for history: a master may be on the LAN', () => {
    const driver = new Driver().started();
    driver.give({ type: 'advert', advert: advert({ node: undefined }), atMs: 2900 });
    driver.logUp({ ...heldByR2, released: true }, 3000);
    expect(driver.types()).toEqual([]);
    expect(dueAtMs(driver.vr)).toBe(2900 + 3000);
  });

  it('claims again when the holder’s release overtook its claim', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const atMs = driver.expire();
    driver.logUp({ ...heldByR2, sequence: sequence(41), released: true }, atMs + 1);
    expect(driver.find('claim').claim.expected).toBe(41);
  });

  it('stays backup when another node claimed first, and gives it the time to attach', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const atMs = driver.decide();
    const { claim, term: claimed } = driver.find('claim');
    driver.give({ type: 'claimAnswer', claim: claim.id, term: claimed, answer: { kind: 'conflict' }, atMs: atMs + 2 });
    expect(driver.state()).toBe('backup');
    expect(driver.find('transition').reason).toBe('claim_lost');
    driver.logUp({ ...heldByR2, owner: nodeId('r3'), term: term(5), sequence: sequence(41) }, atMs + 3);
    expect(dueAtMs(driver.vr)).toBe(atMs + 3 + 3000);
  });

  it('goes on by the protocol’s rules when the log does not answer in time, and keeps the claim’s term', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const claimedAtMs = driver.decide();
    const overdueAtMs = driver.expire();
    expect(overdueAtMs).toBe(claimedAtMs + 50);
    expect(driver.state()).toBe('backup');
    const takenAtMs = driver.expire();
    expect(takenAtMs).toBeCloseTo(claimedAtMs + skewTimeMs(100, 1000));
    expect(driver.find('saveTerm').term).toBe(5);
    driver.give({ type: 'termSaved', term: term(5), atMs: takenAtMs });
    expect(driver.find('attach').term).toBe(5);
  });

  it('does not let a stuck disk keep the address down', () => {
    const driver = new Driver().started();
    driver.expire();
    expect(driver.types()).toContain('saveTerm');
    driver.expire();
    expect(driver.types()).toEqual(['attach']);
  });

  it('waits with skew while the log has never answered', () => {
    const driver = new Driver().started();
    expect(dueAtMs(driver.vr)).toBeCloseTo(3609.375);
  });

  it.each(['hold', 'release'] as const)('does not take over without the log under onLogLoss %s', (onLogLoss) => {
    const driver = new Driver({ onLogLoss }).started();
    for (let n = 0; n < 5; n += 1) {
      driver.expire();
      expect(driver.state()).toBe('backup');
      expect(driver.types()).toEqual([]);
    }
    expect(driver.vr.lastReason).toBe('log_unreachable');
  });

  it('never preempts a node of the cluster by adverts, but a stranger', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    driver.give({ type: 'advert', advert: advert({ priority: 50 }), atMs: 1000 });
    expect(dueAtMs(driver.vr)).toBe(4000);
    driver.give({ type: 'advert', advert: advert({ priority: 50, node: undefined }), atMs: 2000 });
    expect(dueAtMs(driver.vr)).toBe(4000);
  });

  it('detaches at once when another node holds a higher term', () => {
    const { driver, atMs } = loggedMaster();
    driver.logUp({ ...heldByR2, term: term(6), sequence: sequence(50) }, atMs + 10);
    expect(driver.types()).toEqual(['detach', 'transition']);
    driver.give({ type: 'detached', atMs: atMs + 11 });
    expect(driver.types()).toEqual(['transition']);
    expect(driver.state()).toBe('backup');
  });

  it('holds against a better advert of its own cluster while the log names it, answering at a limited rate', () => {
    const { driver, atMs } = loggedMaster();
    driver.give({ type: 'advert', advert: advert(), atMs: atMs + 10 });
    expect(driver.types()).toEqual(['advert', 'notice', 'announce', 'splitBrain']);
    driver.give({ type: 'advert', advert: advert(), atMs: atMs + 10 + answerLimitMs / 2 });
    expect(driver.types()).toEqual([]);
    driver.give({ type: 'advert', advert: advert(), atMs: atMs + 10 + answerLimitMs });
    expect(driver.types()).toEqual(['advert', 'notice', 'announce']);
  });

  it('yields to a better stranger', () => {
    const stranger = loggedMaster();
    stranger.driver.give({ type: 'advert', advert: advert({ node: undefined }), atMs: stranger.atMs + 10 });
    expect(stranger.driver.types()).toEqual(['advert', 'notice', 'splitBrain']);
    stranger.driver.give({ type: 'tick', atMs: stranger.atMs + 10 + noticeWaitMs });
    expect(stranger.driver.types()).toContain('detach');
  });

  it('releases when it loses the carrier, over which nothing could be said', () => {
    const { driver, atMs } = loggedMaster();
    driver.give({ type: 'parent', fault: 'carrier_lost', atMs: atMs + 10 });
    expect(driver.types()).toEqual(['detach', 'transition']);
    driver.give({ type: 'detached', atMs: atMs + 10 });
    expect(driver.types()).toEqual(['released', 'transition']);
    expect(driver.state()).toBe('fault');
    driver.give({ type: 'parent', fault: undefined, atMs: atMs + 500 });
    expect(driver.state()).toBe('backup');
  });

  it('serves on while the log is away, and lets go after the lease under onLogLoss release', () => {
    const serving = loggedMaster();
    serving.driver.logDown(serving.atMs).give({ type: 'tick', atMs: serving.atMs + 100_000 });
    expect(serving.driver.types()).toEqual(['advert']);
    const leaving = loggedMaster({ onLogLoss: 'release' });
    leaving.driver.logDown(leaving.atMs).give({ type: 'tick', atMs: leaving.atMs + 3999 });
    expect(leaving.driver.state()).toBe('master');
    leaving.driver.give({ type: 'tick', atMs: leaving.atMs + 4000 });
    expect(leaving.driver.types()).toEqual(['detach', 'transition']);
  });

  it('sends nothing after it overslept, and asks the log', () => {
    const { driver, atMs } = loggedMaster();
    driver.give({ type: 'overslept', atMs: atMs + 9000 });
    expect(driver.types()).toEqual(['detach', 'transition']);
    expect(driver.state()).toBe('fenced');
    driver.give({ type: 'detached', atMs: atMs + 9001 });
    expect(driver.types()).toEqual(['released', 'transition']);
  });

  it('has missed something when it was busy for longer than peers bear; whoever says nothing yet, when it stood still', () => {
    const { driver: master } = loggedMaster();
    const candidate = new Driver().started().logUp(emptyLogView.ownership, 0);
    const [busy, frozen] = [
      { awayMs: 3001, stoodStillMs: 0 },
      { awayMs: 3001, stoodStillMs: 3001 },
    ];
    expect([hasMissed(master.vr, busy), hasMissed(master.vr, frozen)]).toEqual([true, true]);
    expect([hasMissed(candidate.vr, busy), hasMissed(candidate.vr, frozen)]).toEqual([false, true]);
  });
});

/** A master that took over while the log was away. */
function provisionalMaster(): { driver: Driver; atMs: number } {
  const driver = new Driver().started().logUp(heldByR2, 0).logDown(10);
  const atMs = driver.expire();
  driver.give({ type: 'termSaved', term: driver.find('saveTerm').term, atMs });
  driver.give({ type: 'attached', atMs: atMs + 1 });
  return { driver, atMs: atMs + 1 };
}

describe('provisional ownership', () => {
  it('claims when the log comes back with nothing new, keeping its term', () => {
    const { driver, atMs } = provisionalMaster();
    driver.logUp(heldByR2, atMs + 100);
    expect(driver.find('challenge')).toMatchObject({ holder: 'r2', claim: { expected: 40 } });
    driver.expire();
    expect(driver.find('claim')).toMatchObject({ term: 5, claim: { expected: 40 } });
    driver.logUp(ownOf(driver), atMs + 101);
    expect(driver.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' }, confirming: undefined });
  });

  it('gives way to an ownership that was logged meanwhile', () => {
    const { driver, atMs } = provisionalMaster();
    driver.logUp({ ...heldByR2, owner: nodeId('r3'), sequence: sequence(44) }, atMs + 100);
    expect(driver.find('transition').reason).toBe('log_prefers_other');
  });

  it('gives way to the node that the log names when it hears it, whatever the priorities', () => {
    const { driver, atMs } = provisionalMaster();
    driver.logUp(heldByR2, atMs + 100);
    driver.give({ type: 'advert', advert: advert({ priority: 1, sourceOrder: -1 }), atMs: atMs + 101 });
    expect(driver.find('transition').reason).toBe('log_prefers_other');
  });

  it('becomes logged by the late arrival of the claim that was not answered', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    driver.decide();
    driver.expire();
    const atMs = driver.expire();
    driver.give({ type: 'termSaved', term: term(5), atMs }).give({ type: 'attached', atMs });
    driver.logUp(ownOf(driver), atMs + 10);
    expect(driver.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' } });
  });

  it('does not take an older ownership of its own for the claim', () => {
    const { driver, atMs } = provisionalMaster();
    driver.logUp(ownOf(driver, { term: term(4), sequence: sequence(41) }), atMs + 10);
    expect(driver.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'provisional' } });
  });

  it('gives a claim back that was stored after it had stopped waiting', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const atMs = driver.decide();
    const { claim, term: claimed } = driver.find('claim');
    driver.give({ type: 'parent', fault: 'parent_down', atMs: atMs + 1 });
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    driver.give({ type: 'claimAnswer', claim: claim.id, term: claimed, answer, atMs: atMs + 2 });
    expect(driver.find('released')).toMatchObject({ term: 5, reason: 'claim_lost' });
  });
});

/** A master that has asked r2 to take over. */
function handing(stops = false, over: Partial<VrParameters> = {}): { driver: Driver; atMs: number } {
  const { driver, atMs } = loggedMaster(over);
  driver.give({ type: 'handOver', to: undefined, stops, atMs });
  return { driver, atMs };
}

/** The log has the handover to r2. */
function handedOver(stops = false): { driver: Driver; atMs: number } {
  const { driver, atMs } = handing(stops);
  driver.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs });
  const { claim, term: handed } = driver.find('startHandover');
  const answer = { kind: 'stored', sequence: sequence(42) } as const;
  driver.give({ type: 'claimAnswer', claim: claim.id, term: handed, answer, atMs: atMs + 2 });
  return { driver, atMs: atMs + 2 };
}

describe('planned handover', () => {
  it('asks, writes it into the log, and serves on until the other serves', () => {
    const { driver, atMs } = handing();
    expect(driver.types()).toEqual(['askReady', 'transition']);
    driver.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs });
    expect(driver.types()).toEqual(['startHandover']);
    expect(driver.find('startHandover')).toMatchObject({ to: 'r2', term: 6, claim: { expected: 41 } });
    const { claim } = driver.find('startHandover');
    const answer = { kind: 'stored', sequence: sequence(42) } as const;
    driver.give({ type: 'claimAnswer', claim: claim.id, term: term(6), answer, atMs });
    expect(driver.types()).toEqual([]);
    driver.give({ type: 'advert', advert: advert({ priority: 50, sourceOrder: -1 }), atMs: atMs + 8 });
    expect(driver.types()).toEqual(['hush']);
    expect(driver.find('hush').hushed).toBe(true);
    driver.give({ type: 'tick', atMs: atMs + 8 + settleMs });
    expect(driver.types()).toEqual(['detach']);
    driver.give({ type: 'detached', atMs: atMs + 8 + settleMs });
    expect(driver.types()).toEqual(['released', 'transition']);
    expect(driver.state()).toBe('backup');
  });

  it('answers for the addresses until the other is known to serve: nobody else does', () => {
    const { driver, atMs } = handedOver();
    expect(driver.types()).toEqual([]);
    const handed = { ...heldByR2, term: term(6), sequence: sequence(42), handedBy: driver.vr.parameters.node };
    driver.give({ type: 'log', view: { ...driver.vr.log, ownership: handed }, atMs: atMs + 30 });
    expect(driver.types()).toEqual([]);
    expect(isHushed(driver.vr)).toBe(false);
  });

  it('lets go a moment after it hears the other’s advert on the LAN, and no later for hearing more of it', () => {
    const { driver, atMs } = handedOver(true);
    const theirs = advert({ priority: 50, sourceOrder: -1 });
    driver.give({ type: 'advert', advert: theirs, atMs: atMs + 5 });
    expect(driver.types()).toEqual(['hush']);
    driver.give({ type: 'advert', advert: theirs, atMs: atMs + 15 });
    driver.give({ type: 'peerServes', from: nodeId('r2'), term: term(6), atMs: atMs + 16 });
    expect(driver.types()).toEqual([]);
    expect(dueAtMs(driver.vr)).toBe(atMs + 5 + settleMs);
    driver.give({ type: 'tick', atMs: atMs + 5 + settleMs });
    expect(driver.types()).toEqual(['detach']);
    driver.give({ type: 'detached', atMs: atMs + 5 + settleMs });
    expect(driver.vr.phase).toEqual({ name: 'init', stopped: true });
  });

  it('waits for its frame where the log is faster than the LAN, and not for ever', () => {
    const told = (): ReturnType<typeof handedOver> => {
      const { driver, atMs } = handedOver();
      driver.give({ type: 'peerServes', from: nodeId('r2'), term: term(6), atMs });
      expect(driver.types()).toEqual(['hush']);
      return { driver, atMs };
    };
    const seen = told();
    seen.driver.give({ type: 'advert', advert: advert({ priority: 50, sourceOrder: -1 }), atMs: seen.atMs + 3 });
    expect(dueAtMs(seen.driver.vr)).toBe(seen.atMs + 3 + settleMs);
    seen.driver.give({ type: 'tick', atMs: seen.atMs + 3 + settleMs });
    expect(seen.driver.types()).toEqual(['detach']);
    const barely = told();
    barely.driver.give({ type: 'advert', advert: advert({ priority: 50, sourceOrder: -1 }), atMs: barely.atMs + 45 });
    expect(dueAtMs(barely.driver.vr)).toBe(barely.atMs + shownTimeoutMs);
    const unseen = told();
    unseen.driver.give({ type: 'peerServes', from: nodeId('r2'), term: term(6), atMs: unseen.atMs + 20 });
    expect(dueAtMs(unseen.driver.vr)).toBe(unseen.atMs + shownTimeoutMs);
    unseen.driver.give({ type: 'tick', atMs: unseen.atMs + shownTimeoutMs });
    expect(unseen.driver.vr.phase).toMatchObject({ name: 'releasing', reason: 'handed_over' });
  });

  it('takes the word of the other node before the log’s answer', () => {
    const { driver, atMs } = handing();
    driver.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs });
    const { claim } = driver.find('startHandover');
    driver.give({ type: 'peerServes', from: nodeId('r2'), term: term(6), atMs: atMs + 5 });
    driver.give({ type: 'claimAnswer', claim: claim.id, term: term(6), answer: { kind: 'conflict' }, atMs: atMs + 6 });
    expect(driver.vr.phase).toMatchObject({ name: 'handing', stage: 'started' });
  });

  it('keeps sending adverts meanwhile', () => {
    const { driver, atMs } = handedOver();
    driver.give({ type: 'tick', atMs: atMs + 200 });
    expect(driver.state()).toBe('draining');
    const soon = new Driver({ election: vrrp(100, 20) }).started().logUp(heldByR2);
    expect(dueAtMs(soon.vr)).toBe(60);
  });

  it('stays the master where the other cannot, is silent before the log has it, or the log refuses', () => {
    const unready = handing();
    unready.driver.give({ type: 'peerReady', from: nodeId('r2'), ready: false, atMs: unready.atMs + 1 });
    expect(unready.driver.vr.phase).toMatchObject({ name: 'master', term: 5, standing: { kind: 'logged' } });
    const silent = handing();
    silent.driver.give({ type: 'tick', atMs: silent.atMs + readyTimeoutMs });
    expect(silent.driver.state()).toBe('master');
    const { driver, atMs } = handing();
    driver.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs });
    const { claim } = driver.find('startHandover');
    driver.give({ type: 'claimAnswer', claim: claim.id, term: term(6), answer: { kind: 'conflict' }, atMs });
    expect(driver.vr.phase).toMatchObject({ name: 'master', term: 5 });
    expect(driver.types()).toEqual(['announce', 'transition']);
  });

  it('claims again, still attached, where the other falls silent or releases after the log had it', () => {
    const silent = handedOver();
    silent.driver.give({ type: 'tick', atMs: silent.atMs + servingTimeoutMs });
    expect(silent.driver.types()).toEqual(['announce', 'transition', 'claim']);
    expect(silent.driver.find('claim').term).toBe(7);
    const failed = handedOver();
    const byR2 = { ...heldByR2, term: term(6), sequence: sequence(43), released: true };
    failed.driver.logUp(byR2, failed.atMs + 20);
    expect(failed.driver.find('claim')).toMatchObject({ term: 7, claim: { expected: 43 } });
    expect(failed.driver.state()).toBe('master');
  });

  it('releases where it stops and nobody can be agreed with', () => {
    const { driver, atMs } = loggedMaster();
    const view = { ...emptyLogView, reachable: true, ownership: ownOf(driver) };
    driver.give({ type: 'log', view, atMs });
    driver.give({ type: 'handOver', to: undefined, stops: true, atMs });
    expect(driver.types()).toEqual(['detach', 'transition']);
    driver.give({ type: 'detached', atMs });
    expect(driver.types()).toEqual(['advert', 'released', 'transition']);
  });

  it('is taken up by the node that the log names, which tells the one that lingers', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const toR1 = { ...ownOf(driver), term: term(5), sequence: sequence(50), handedBy: nodeId('r2') };
    driver.logUp(toR1, 700);
    expect(driver.find('attach').term).toBe(5);
    driver.give({ type: 'attached', atMs: 703 });
    expect(driver.types()).toEqual(['advert', 'announce', 'tellServing', 'transition']);
    expect(driver.find('tellServing')).toMatchObject({ to: 'r2', term: 5 });
  });

  it('is asked for by a better placed backup, at a limited rate, and never taken by adverts', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const worse = advert({ priority: 50, sourceOrder: -1 });
    driver.give({ type: 'advert', advert: worse, atMs: 1000 });
    expect(driver.types()).toEqual(['askHandover']);
    driver.give({ type: 'advert', advert: worse, atMs: 2000 });
    expect(driver.types()).toEqual([]);
    driver.give({ type: 'advert', advert: worse, atMs: 6000 });
    expect(driver.types()).toEqual(['askHandover']);
  });
});

describe('failures', () => {
  it('releases after a failed attach and leaves the others time', () => {
    const driver = new Driver().started().logUp(heldByR2, 0);
    const atMs = driver.decide();
    const { claim, term: claimed } = driver.find('claim');
    driver.give({ type: 'termSaved', term: claimed, atMs });
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    driver.give({ type: 'claimAnswer', claim: claim.id, term: claimed, answer, atMs });
    driver.give({ type: 'attachFailed', atMs: atMs + 5 });
    expect(driver.types()).toEqual(['released', 'transition']);
    expect(dueAtMs(driver.vr)).toBeGreaterThanOrEqual(atMs + 5 + penaltyIntervals * 1000);
  });

  it('resigns on the LAN, then in the log, when it is told to stop', () => {
    const { driver, atMs } = loggedMaster();
    driver.give({ type: 'shutdown', atMs: atMs + 10 }).give({ type: 'detached', atMs: atMs + 10 });
    expect(driver.types()).toEqual(['advert', 'released', 'transition']);
    expect(driver.find('advert').candidacy).toMatchObject({ priority: 0 });
    expect(driver.find('released').resigned).toBe(true);
  });

  it('stays stopped', () => {
    const driver = new Driver().started().give({ type: 'shutdown', atMs: 1 });
    driver.give({ type: 'parent', fault: undefined, atMs: 2 });
    expect(driver.vr.phase).toEqual({ name: 'init', stopped: true });
  });
});

describe('what the operator asks for', () => {
  const wire = { arbitration: 'wire' } as const;
  const master = (over: Partial<VrParameters> = {}): { driver: Driver; atMs: number } => {
    const driver = new Driver({ ...wire, ...over }).started();
    const atMs = driver.expire();
    driver.give({ type: 'attached', atMs });
    return { driver, atMs };
  };

  it('may change while it is master: the new standing is said at once, and nothing is left', () => {
    const { driver, atMs } = master();
    driver.give({ type: 'parameters', parameters: { ...base, ...wire, election: vrrp(50) }, atMs: atMs + 10 });
    expect(driver.types()).toEqual(['advert']);
    expect(driver.find('advert').candidacy).toMatchObject({ priority: 50 });
    expect(dueAtMs(driver.vr)).toBe(atMs + 1010);
    driver.give({ type: 'parameters', parameters: { ...base, ...wire, election: vrrp(50, 100) }, atMs: atMs + 20 });
    expect(dueAtMs(driver.vr)).toBe(atMs + 120);
    const same = { ...base, ...wire, election: vrrp(50, 100), preempt: { enabled: false, delayMs: 0 } };
    driver.give({ type: 'parameters', parameters: same, atMs: atMs + 30 });
    expect(driver.effects).toEqual([]);
    expect(driver.state()).toBe('master');
  });

  it('may change while it is backup: it counts on with the new priority', () => {
    const driver = new Driver(wire).started();
    driver.give({ type: 'parameters', parameters: { ...base, ...wire, election: vrrp(250, 100) }, atMs: 10 });
    expect(driver.state()).toBe('backup');
    expect(dueAtMs(driver.vr)).toBeCloseTo(masterDownIntervalMs(250, 100));
  });

  it('keeps the learned interval of a master that was heard', () => {
    const driver = new Driver(wire).started().give({ type: 'advert', advert: advert({ intervalMs: 40 }), atMs: 5 });
    driver.give({ type: 'parameters', parameters: { ...base, ...wire, election: vrrp(250, 100) }, atMs: 10 });
    expect(driver.vr.masterIntervalMs).toBe(40);
  });

  it('may be to wait after the start, whatever the interface does first', () => {
    const driver = new Driver({ ...wire, startDelayMs: 9000 });
    driver.give({ type: 'parent', fault: 'carrier_lost', atMs: 0 });
    driver.give({ type: 'parent', fault: undefined, atMs: 500 });
    expect(driver.find('transition')).toMatchObject({ to: 'backup', reason: 'start_delay' });
    driver.give({ type: 'advert', advert: advert({ priority: 0 }), atMs: 600 });
    expect(driver.state()).toBe('backup');
    expect(dueAtMs(driver.vr)).toBe(9000);
    driver.give({ type: 'parent', fault: 'carrier_lost', atMs: 9100 });
    driver.give({ type: 'parent', fault: undefined, atMs: 9200 });
    expect(driver.find('transition').reason).toBe('parent_ready');
  });

  it('tells the LAN when it cannot serve for a reason that leaves the LAN alone', () => {
    for (const [fault, resigns] of [
      ['tracking_failed', true],
      ['group_failed', true],
      ['carrier_lost', false],
    ] as const) {
      const { driver, atMs } = master();
      driver.give({ type: 'parent', fault, atMs: atMs + 1 });
      expect(driver.types()).toEqual(['detach', 'transition']);
      driver.give({ type: 'detached', atMs: atMs + 2 });
      expect(driver.types().includes('advert')).toBe(resigns);
      expect(driver.find('released').resigned).toBe(resigns);
      driver.give({ type: 'parent', fault: undefined, atMs: atMs + 3 });
      expect(driver.find('transition').reason).toBe(resigns ? 'recovered' : 'parent_ready');
    }
  });

  it('takes over at once what was released while only its configuration barred it', () => {
    const released: Ownership = { ...heldByR2, sequence: sequence(41), released: true };
    for (const [fault, held, claims] of [
      ['configuration_differs', released, true],
      ['configuration_differs', heldByR2, false],
      ['tracking_failed', released, false],
    ] as const) {
      const driver = new Driver().started().logUp(heldByR2, 0);
      driver.give({ type: 'parent', fault, atMs: 100 });
      expect(driver.find('transition')).toMatchObject({ to: 'fault', reason: fault });
      driver.logUp(held, 200);
      driver.give({ type: 'parent', fault: undefined, atMs: 300 });
      expect(driver.types().includes('claim')).toBe(claims);
      expect(driver.state()).toBe(claims ? 'candidate' : 'backup');
    }
  });
});

describe('a sync group', () => {
  it('makes it claim at once, at its place, and give back what comes too late', () => {
    const driver = new Driver().started().logUp(heldByR2, 0, 1);
    driver.give({ type: 'group', move: 'take', holdOff: false, atMs: 100 });
    expect(dueAtMs(driver.vr)).toBe(100 + claimStepMs);
    driver.expire();
    const { claim, term: claimed, reason } = driver.find('claim');
    expect(reason).toBe('group_takes');
    driver.give({ type: 'group', move: 'leave', holdOff: true, atMs: 130 });
    expect(driver.find('transition')).toMatchObject({ to: 'backup', reason: 'group_left' });
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    driver.give({ type: 'claimAnswer', claim: claim.id, term: claimed, answer, atMs: 140 });
    expect(driver.find('released')).toMatchObject({ term: claimed, reason: 'claim_lost' });
    expect(driver.vr.holdOffUntilMs).toBe(130 + penaltyIntervals * 1000);
  });

  it('makes a master leave, and the LAN hears of it', () => {
    const { driver, atMs } = loggedMaster();
    driver.give({ type: 'group', move: 'take', holdOff: false, atMs });
    expect(driver.effects).toEqual([]);
    driver.give({ type: 'group', move: 'leave', holdOff: false, atMs });
    expect(driver.types()).toEqual(['detach', 'transition']);
    driver.give({ type: 'detached', atMs });
    expect(driver.find('advert').candidacy).toMatchObject({ priority: 0 });
  });

  it('holds a takeover on silence back, never one on a resignation', () => {
    const silent = new Driver({ arbitration: 'wire' }).started();
    const atMs = dueAtMs(silent.vr) ?? 0;
    silent.give({ type: 'tick', atMs, heldUntilMs: atMs + 500 });
    expect(silent.state()).toBe('backup');
    expect(dueAtMs(silent.vr)).toBe(atMs + 500);
    silent.give({ type: 'advert', advert: advert({ priority: 0 }), atMs: atMs + 1 });
    silent.expire();
    expect(silent.state()).toBe('candidate');
  });
});

describe('every state with every input', () => {
  /** Every state, and the parts of it that decide otherwise; without a lease where no lease is needed. */
  const reachable = (over: Partial<VrParameters> = {}): Map<string, Vr> => {
    const found = new Map<string, Vr>();
    const keep = (driver: Driver, name: string = driver.vr.phase.name): void => void found.set(name, driver.vr);
    const fresh = (): Driver => new Driver(over).leased();
    keep(fresh());
    keep(fresh().give({ type: 'parent', fault: 'parent_absent', atMs: 0 }));
    keep(fresh().started());
    const challenging = fresh().started().logUp(heldByR2);
    challenging.expire();
    keep(challenging, 'backup, challenging');
    const claiming = fresh().started().logUp(heldByR2);
    claiming.decide();
    keep(claiming);
    const attaching = fresh().started().logUp(heldByR2);
    attaching.decide();
    attaching.granted();
    keep(attaching);
    keep(loggedMaster(over).driver);
    const contested = loggedMaster(over);
    contested.driver.give({ type: 'advert', advert: advert(), atMs: contested.atMs });
    keep(contested.driver, 'master, contested');
    keep(handing(false, over).driver);
    keep(loggedMaster(over).driver.give({ type: 'parent', fault: 'carrier_lost', atMs: 9000 }));
    if (over.arbitration === 'strict') {
      const giving = handing(true, over);
      giving.driver.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: giving.atMs });
      keep(giving.driver.give({ type: 'detached', atMs: giving.atMs }));
    } else {
      const alone = provisionalMaster();
      keep(alone.driver, 'master, provisional');
      keep(alone.driver.logUp(heldByR2, alone.atMs), 'master, challenging');
      const late = provisionalMaster();
      const handed = { ...heldByR2, sequence: sequence(42), handedBy: base.node };
      keep(late.driver.logUp(handed, late.atMs), 'handing, late');
    }
    return found;
  };

  const verdicts: readonly ChallengeVerdict[] = [
    { kind: 'gone', why: 'lease_expired' },
    { kind: 'gone', why: 'no_answer' },
    { kind: 'gone', why: 'not_serving' },
    { kind: 'gone', why: 'lan_down' },
    { kind: 'serves' },
    { kind: 'leased', untilMs: 10_500 },
    { kind: 'unasked' },
  ];
  const handedToR1 = { ...heldByR2, owner: base.node, boot: base.boot, term: term(9), handedBy: nodeId('r2') };

  const inputs: readonly Input[] = [
    { type: 'parent', fault: undefined, atMs: 10_000 },
    { type: 'parent', fault: 'carrier_lost', atMs: 10_000 },
    { type: 'tick', atMs: 10_000 },
    { type: 'advert', advert: advert(), atMs: 10_000 },
    { type: 'advert', advert: advert({ priority: 0 }), atMs: 10_000 },
    { type: 'advert', advert: advert({ priority: 1, node: undefined }), atMs: 10_000 },
    {
      type: 'log',
      view: {
        ...emptyLogView,
        reachable: true,
        ownership: { ...heldByR2, term: term(9), sequence: sequence(90) },
        place: 0,
        successor: undefined,
      },
      atMs: 10_000,
    },
    {
      type: 'log',
      view: {
        ...emptyLogView,
        reachable: true,
        ownership: { ...heldByR2, sequence: sequence(91), released: true },
        place: 1,
        successor: undefined,
      },
      atMs: 10_000,
    },
    { type: 'log', view: emptyLogView, atMs: 10_000 },
    {
      type: 'claimAnswer',
      claim: claimId('boot-r1.1'),
      term: term(5),
      answer: { kind: 'stored', sequence: sequence(41) },
      atMs: 10_000,
    },
    { type: 'claimAnswer', claim: claimId('boot-r1.1'), term: term(5), answer: { kind: 'conflict' }, atMs: 10_000 },
    {
      type: 'claimAnswer',
      claim: claimId('boot-r1.1'),
      term: term(5),
      answer: { kind: 'unavailable', maybeStored: true },
      atMs: 10_000,
    },
    { type: 'termSaved', term: term(5), atMs: 10_000 },
    { type: 'attached', atMs: 10_000 },
    { type: 'attachFailed', atMs: 10_000 },
    { type: 'detached', atMs: 10_000 },
    { type: 'overslept', atMs: 10_000 },
    { type: 'interference', atMs: 10_000 },
    { type: 'handOver', to: undefined, stops: true, atMs: 10_000 },
    { type: 'handOver', to: nodeId('r2'), stops: false, atMs: 10_000 },
    { type: 'peerReady', from: nodeId('r2'), ready: true, atMs: 10_000 },
    { type: 'peerReady', from: nodeId('r2'), ready: false, atMs: 10_000 },
    { type: 'peerServes', from: nodeId('r2'), term: term(6), atMs: 10_000 },
    { type: 'shutdown', atMs: 10_000 },
    { type: 'parent', fault: 'tracking_failed', atMs: 10_000 },
    { type: 'parent', fault: 'group_failed', atMs: 10_000 },
    { type: 'tick', heldUntilMs: 12_000, atMs: 10_000 },
    { type: 'tick', turnAtMs: 10_050, atMs: 10_000 },
    { type: 'parameters', parameters: { ...base, election: vrrp(33, 100) }, atMs: 10_000 },
    { type: 'group', move: 'take', holdOff: false, atMs: 10_000 },
    { type: 'group', move: 'leave', holdOff: false, atMs: 10_000 },
    { type: 'group', move: 'leave', holdOff: true, atMs: 10_000 },
    { type: 'ownLease', endsAtMs: 13_000, atMs: 10_000 },
    { type: 'ownLease', endsAtMs: undefined, atMs: 10_000 },
    { type: 'proof', fromMs: 9000, atMs: 10_000 },
    { type: 'proof', fromMs: undefined, atMs: 10_000 },
    { type: 'drain', drained: true, force: false, atMs: 10_000 },
    { type: 'drain', drained: true, force: true, atMs: 10_000 },
    { type: 'drain', drained: false, force: false, atMs: 10_000 },
    { type: 'holderProbe', from: nodeId('r2'), atMs: 10_000 },
    ...verdicts.map((verdict): Input => ({ type: 'challengeAnswer', claim: claimId('?'), verdict, atMs: 10_000 })),
    ...[false, true].flatMap((logged) =>
      [4, 9].map(
        (held): Input => ({
          type: 'notice',
          notice: { node: nodeId('r2'), source: '10.0.0.2', termHeld: term(held), logged, highestLoggedTerm: term(4) },
          atMs: 10_000,
        }),
      ),
    ),
    { type: 'log', view: { ...emptyLogView, reachable: true, ownership: handedToR1 }, atMs: 10_000 },
  ];

  /** The same input, as an answer to what the machine asked last, and with times that count from now. */
  function fitting(input: Input, { phase }: Vr, atMs: number): Input {
    const challenge = 'challenge' in phase ? phase.challenge : undefined;
    const claim = 'claim' in phase ? phase.claim : 'confirming' in phase ? phase.confirming : undefined;
    switch (input.type) {
      case 'challengeAnswer': {
        const { verdict } = input;
        const untilMs = atMs + 500;
        const timed = verdict.kind === 'leased' ? { ...verdict, untilMs } : verdict;
        return { ...input, claim: challenge?.claim.id ?? input.claim, verdict: timed, atMs };
      }
      case 'claimAnswer':
        return { ...input, claim: claim?.id ?? input.claim, term: 'term' in phase ? phase.term : input.term, atMs };
      case 'ownLease':
        return { ...input, endsAtMs: input.endsAtMs === undefined ? undefined : atMs + 3000, atMs };
      default:
        return { ...input, atMs };
    }
  }

  const holds = (name: string): boolean => name === 'master' || name === 'handing';

  /** What must hold after any step from any state. */
  function judge(before: Vr, input: Input): Vr {
    const { vr, effects } = step(before, input);
    const types = effects.map((effect) => effect.type);
    expect(vr.highestTerm).toBeGreaterThanOrEqual(before.highestTerm);
    const from = stateName(before.phase);
    const to = stateName(vr.phase);
    const transitions = effects.filter((effect) => effect.type === 'transition');
    for (const { to, reason } of transitions) expect(reasonsFor[to], `${to} ${reason}`).toContain(reason);
    if (from !== to) expect(transitions.at(-1)).toMatchObject({ to });
    expect(transitions.length % 2).toBe(from === to ? 0 : 1);
    if (types.includes('announce')) expect(['master', 'handing']).toContain(vr.phase.name);
    if (types.includes('attach')) expect(vr.phase.name).toBe('attaching');
    if (types.includes('detach')) expect(vr.phase.name).toBe('releasing');
    if (types.includes('notice')) expect(['master', 'handing']).toContain(vr.phase.name);
    if (types.includes('challenge')) expect(['backup', 'master', 'handing']).toContain(vr.phase.name);
    if (vr.drained && before.drained) expect(types).not.toContain('challenge');
    if (vr.parameters.arbitration === 'strict') {
      if (holds(vr.phase.name) || vr.phase.name === 'attaching') expect(hasLease(vr, input.atMs)).toBe(true);
      if (types.includes('claim') || types.includes('attach')) expect(hasLease(vr, input.atMs)).toBe(true);
      if ('standing' in vr.phase && vr.phase.standing !== undefined) expect(vr.phase.standing.kind).toBe('logged');
    }
    for (const effect of effects) {
      if (effect.type !== 'advert') continue;
      if (effect.candidacy.kind === 'vrrp' && effect.candidacy.priority === 0) expect(input.type).toBe('detached');
      else expect(['master', 'handing']).toContain(vr.phase.name);
    }
    const left = holds(before.phase.name) && !holds(vr.phase.name);
    if (left) expect(types).toContain('detach');
    const hushes = effects.flatMap((effect) => (effect.type === 'hush' ? [effect.hushed] : []));
    const isNow = isHushed(vr);
    expect(hushes).toEqual(isHushed(before) === isNow || left ? [] : [isNow]);
    return vr;
  }

  it.each(['log', 'strict'] as const)('walks all pairs in %s', (arbitration) => {
    const states = reachable({ arbitration });
    const phases = [...new Set([...states.values()].map(({ phase }) => phase.name))].sort();
    const inAll = ['attaching', 'backup', 'claiming', 'fault', 'handing', 'init', 'master', 'releasing'];
    expect(phases).toEqual(arbitration === 'strict' ? [...inAll, 'giving'].sort() : inAll.sort());
    for (const vr of states.values()) {
      for (const input of inputs) {
        judge(vr, input);
        judge(vr, fitting(input, vr, input.atMs));
      }
    }
  });

  it('walks random sequences', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ pick: fc.nat(inputs.length - 1), afterMs: fc.integer({ min: 0, max: 4000 }) }), {
          maxLength: 60,
        }),
        fc.constantFrom('wire', 'log', 'strict'),
        fc.constantFrom('wire', 'hold', 'release'),
        fc.constantFrom('hold', 'take'),
        (moves, arbitration, onLogLoss, onPathSplit) => {
          let vr = createVr({ ...base, arbitration, onLogLoss, onPathSplit });
          let atMs = 0;
          for (const { pick, afterMs } of moves) {
            atMs += afterMs;
            const input = inputs[pick];
            if (input === undefined || (input.type === 'parameters' && arbitration === 'strict')) continue;
            vr = judge(vr, fitting(input, vr, atMs));
          }
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('always asks for a tick while it waits for something', () => {
    const timed = ['backup', 'claiming', 'master', 'handing'];
    for (const vr of reachable().values()) {
      expect(dueAtMs(vr) !== undefined).toBe(timed.includes(vr.phase.name));
    }
    for (const vr of reachable({ arbitration: 'strict' }).values()) {
      expect(dueAtMs(vr) !== undefined).toBe([...timed, 'attaching', 'giving'].includes(vr.phase.name));
    }
  });
});
