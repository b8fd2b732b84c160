import { beforeEach, describe, expect, it } from 'vitest';
import { base } from '../../test/core/machine.js';
import type { Candidacy } from '../core/election-rules.js';
import { nodeId, sequence, type Term } from '../core/identity.js';
import { emptyLogView } from '../core/ownership.js';
import { createVr, dueAtMs, step } from '../core/vr-machine.js';
import type { Effect, Input, Vr, VrParameters } from '../core/vr-state.js';
import { ClaimTurns } from './claim-turns.js';

/*
 * Real machines whose master is silent from the start, a disk that has a term a millisecond later, and a log that answers
 * one claim a millisecond, in order.
 */

const parameters: VrParameters = {
  ...base,
  election: { protocol: 'vrrp3', priority: 200, advertIntervalMs: 100 },
};

interface Router {
  readonly name: string;
  vr: Vr;
  ticks: number;
}

let nowMs: number;
let turns: ClaimTurns;
let called: Set<string>;
let asked: { router: Router; claim: Extract<Effect, { type: 'claim' }> }[];
let saving: { router: Router; term: Term }[];

beforeEach(() => {
  nowMs = 0;
  called = new Set();
  turns = new ClaimTurns(
    () => nowMs,
    (name) => called.add(name),
  );
  asked = [];
  saving = [];
});

function give(router: Router, input: Input): void {
  const { vr, effects } = step(router.vr, input);
  router.vr = vr;
  for (const effect of effects) {
    if (effect.type === 'claim') asked.push({ router, claim: effect });
    if (effect.type === 'saveTerm') saving.push({ router, term: effect.term });
  }
  turns.moved(router.name, router.vr);
}

function turnOf(router: Router): { readonly turnAtMs?: number } {
  const turnAtMs = turns.turnAtMs(router.name, router.vr);
  return turnAtMs === undefined ? {} : { turnAtMs };
}

/** The master of all is heard, and then says that it is gone. */
function resign(routers: readonly Router[]): void {
  for (const priority of [250, 0]) {
    nowMs += 1;
    const candidacy: Candidacy = { kind: 'vrrp', priority, intervalMs: 100 };
    for (const router of routers) {
      const advert = { source: '10.0.0.9', sourceOrder: 1 as const, candidacy, node: nodeId('n9') };
      give(router, { type: 'advert', advert, atMs: nowMs, ...turnOf(router) });
    }
  }
}

function site(count: number, over: Partial<VrParameters> = {}): Router[] {
  return Array.from({ length: count }, (_, index) => {
    const router: Router = { name: `vr${index}`, vr: createVr({ ...parameters, ...over }), ticks: 0 };
    give(router, { type: 'parent', fault: undefined, atMs: nowMs });
    give(router, { type: 'log', view: { ...emptyLogView, reachable: true }, atMs: nowMs });
    return router;
  });
}

function run(routers: readonly Router[], untilMs: number, answersPerMs = 1): number {
  let most = 0;
  for (; nowMs < untilMs; nowMs += 1) {
    for (const router of routers) {
      const isCalled = called.delete(router.name);
      if (!isCalled && (dueAtMs(router.vr) ?? Number.POSITIVE_INFINITY) > nowMs) continue;
      router.ticks += 1;
      give(router, { type: 'tick', atMs: nowMs, ...turnOf(router) });
    }
    most = Math.max(most, routers.filter(({ vr }) => vr.phase.name === 'claiming').length);
    for (const { router, term } of saving.splice(0)) give(router, { type: 'termSaved', term, atMs: nowMs });
    for (const next of asked.splice(0, answersPerMs)) answer(next);
  }
  return most;
}

function answer({ router, claim: { term, claim } }: (typeof asked)[number]): void {
  const stored = { kind: 'stored', sequence: sequence(nowMs) } as const;
  give(router, { type: 'claimAnswer', claim: claim.id, term, answer: stored, atMs: nowMs });
}

describe('claims in turn', () => {
  it('lets the log answer each of 200 in time, and none goes without its word', () => {
    const routers = site(200);
    expect(run(routers, 1000)).toBe(16);
    expect(routers.every(({ vr }) => vr.phase.name === 'attaching' && vr.phase.standing.kind === 'logged')).toBe(true);
    expect(Math.max(...routers.map(({ ticks }) => ticks))).toBeLessThan(20);
  });

  it('leaves no place free while others wait', () => {
    const routers = site(200);
    resign(routers);
    run(routers, nowMs + 200 / 8 + 2, 8);
    expect(routers.every(({ vr }) => vr.phase.name === 'attaching')).toBe(true);
  });

  it('calls as many as have been answered, in the order in which they came', () => {
    const routers = site(20);
    resign(routers);
    expect([...called]).toEqual([]);
    for (const next of asked.splice(0, 2)) answer(next);
    expect([...called]).toEqual(['vr16', 'vr17']);
  });

  it('does the same where the master of 200 says that it is gone', () => {
    const routers = site(200);
    resign(routers);
    expect(routers.filter(({ vr }) => vr.phase.name === 'claiming')).toHaveLength(16);
    expect(run(routers, 500)).toBe(16);
    expect(routers.every(({ vr }) => vr.phase.name === 'attaching' && vr.phase.standing.kind === 'logged')).toBe(true);
  });

  it('waits once for a log that answers nothing, and not for each lot of claims', () => {
    const routers = site(200);
    resign(routers);
    run(routers, 4 * parameters.arbitrationTimeoutMs, 0);
    expect(routers.every(({ vr }) => vr.phase.name === 'attaching')).toBe(true);
  });

  it('costs one that is alone nothing', () => {
    const routers = site(1);
    run(routers, 302);
    expect(routers[0]?.vr.phase.name).toBe('attaching');
  });

  it('is not asked for where the LAN alone decides', () => {
    const routers = site(200, { arbitration: 'wire' });
    run(routers, 400);
    expect(routers.every(({ vr }) => vr.phase.name === 'attaching')).toBe(true);
  });

  it('goes on where the log answers nothing', () => {
    const routers = site(40);
    run(routers, 1500, 0);
    expect(routers.every(({ vr }) => vr.phase.name === 'attaching')).toBe(true);
  });

  it('gives the place of one that is gone to others', () => {
    const routers = site(17);
    run(routers, 304, 0);
    const waiting = routers.find(({ vr }) => vr.phase.name === 'backup');
    expect(waiting).toBeDefined();
    for (const { name } of routers) turns.forget(name);
    expect(waiting && turns.turnAtMs(waiting.name, waiting.vr)).toBeUndefined();
  });
});
