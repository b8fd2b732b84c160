import { bootId, claimId, nodeId, sequence, term } from '../../src/core/identity.js';
import { emptyLogView, type LogView, type Ownership } from '../../src/core/ownership.js';
import { createVr, dueAtMs, step } from '../../src/core/vr-machine.js';
import type { ChallengeVerdict, Effect, HeardNotice, Input, Vr, VrParameters } from '../../src/core/vr-state.js';

/** One virtual-router machine of node r1, driven by hand: by its own deadlines and by what the test says happens. */

export const base: VrParameters = {
  node: nodeId('r1'),
  boot: bootId('b1'),
  election: { protocol: 'vrrp3', priority: 100, advertIntervalMs: 1000 },
  preempt: { enabled: true, delayMs: 0 },
  startDelayMs: 0,
  arbitration: 'log',
  onLogLoss: 'wire',
  onPathSplit: 'hold',
  arbitrationTimeoutMs: 50,
  challengeTimeoutMs: 30,
  leaseMs: 4000,
};

export const owned = (owner: string, ownedTerm: number, at: number, over: Partial<Ownership> = {}): Ownership => ({
  owner: nodeId(owner),
  boot: bootId(owner === 'r1' ? 'b1' : `boot of ${owner}`),
  term: term(ownedTerm),
  claim: claimId(`${owner} ${ownedTerm}`),
  sequence: sequence(at),
  released: false,
  handedBy: undefined,
  ...over,
});

export class Machine {
  vr: Vr;
  effects: readonly Effect[] = [];
  nowMs = 0;

  constructor(over: Partial<VrParameters> = {}, highest = 0) {
    this.vr = createVr({ ...base, ...over }, term(highest));
    // What the log does not say counts, unless a test says otherwise.
    this.proof(0);
    this.give({ type: 'parent', fault: undefined, atMs: 0 });
  }

  give(input: Input): this {
    this.nowMs = Math.max(this.nowMs, input.atMs);
    const { vr, effects } = step(this.vr, input);
    this.vr = vr;
    this.effects = effects;
    return this;
  }

  log(ownership: Ownership | undefined, reachable = true, over: Partial<LogView> = {}): this {
    const view = { ...emptyLogView, reachable, ownership, successor: nodeId('r2'), ...over };
    return this.give({ type: 'log', view, atMs: this.nowMs });
  }

  /** `strict`: a lease until then. */
  lease(endsAtMs: number | undefined): this {
    return this.give({ type: 'ownLease', endsAtMs, atMs: this.nowMs });
  }

  /** `strict`: from when on the silence of the log proves something. */
  proof(fromMs: number | undefined): this {
    return this.give({ type: 'proof', fromMs, atMs: this.nowMs });
  }

  /** A master's advert; of r2 unless said otherwise; `null` is a stranger. */
  hears(priority: number, from: string | null = 'r2', afterMs = 0): this {
    this.nowMs += afterMs;
    const candidacy = { kind: 'vrrp', priority, intervalMs: 1000 } as const;
    const node = from === null ? undefined : nodeId(from);
    return this.give({
      type: 'advert',
      advert: { source: '10.0.0.2', sourceOrder: 1, candidacy, node },
      atMs: this.nowMs,
    });
  }

  notice(held: number, logged: boolean, highest: number, from = 'r2'): this {
    const notice: HeardNotice = {
      node: nodeId(from),
      source: '10.0.0.2',
      termHeld: term(held),
      logged,
      highestLoggedTerm: term(highest),
    };
    return this.give({ type: 'notice', notice, atMs: this.nowMs });
  }

  /** The answer to the challenge under way, after the own look, which the LAN carries unless a test says otherwise. */
  verdict(verdict: ChallengeVerdict, carries: boolean | 'unseen' = true): this {
    const { phase } = this.vr;
    const challenge = 'challenge' in phase ? phase.challenge : undefined;
    if (challenge === undefined) throw new Error(`no challenge in ${phase.name}`);
    if (carries !== 'unseen') this.looked(carries);
    return this.give({ type: 'challengeAnswer', claim: challenge.claim.id, verdict, atMs: this.nowMs });
  }

  /** What this node sees of the LAN while it challenges the holder. */
  looked(carries: boolean): this {
    const { phase } = this.vr;
    const challenge = 'challenge' in phase ? phase.challenge : undefined;
    if (challenge === undefined) throw new Error(`no challenge in ${phase.name}`);
    return this.give({ type: 'ownLook', claim: challenge.claim.id, carries, atMs: this.nowMs });
  }

  /** The answer to the claim under way, with the term on the disk. */
  stored(at: number): this {
    const { phase } = this.vr;
    const claim = phase.name === 'claiming' ? phase.claim : phase.name === 'master' ? phase.confirming : undefined;
    if (claim === undefined || !('term' in phase)) throw new Error(`no claim in ${phase.name}`);
    const { nowMs: atMs } = this;
    this.give({ type: 'termSaved', term: phase.term, atMs });
    const answer = { kind: 'stored', sequence: sequence(at) } as const;
    return this.give({ type: 'claimAnswer', claim: claim.id, term: phase.term, answer, atMs });
  }

  expire(): this {
    const atMs = Math.max(this.nowMs, dueAtMs(this.vr) ?? this.nowMs);
    return this.give({ type: 'tick', atMs });
  }

  types(): string[] {
    return this.effects.map(({ type }) => type);
  }

  find<Type extends Effect['type']>(type: Type): Extract<Effect, { type: Type }> | undefined {
    return this.effects.find((effect): effect is Extract<Effect, { type: Type }> => effect.type === type);
  }

  /** Takes over by a claim that the log grants, and reads it back at this position. */
  serveLogged(at: number): this {
    this.expire();
    if (this.find('challenge') !== undefined) this.verdict({ kind: 'gone', why: 'lease_expired' });
    const claimed = this.find('claim')?.term ?? 0;
    this.stored(at).give({ type: 'attached', atMs: this.nowMs });
    return this.log(owned('r1', claimed, at));
  }

  /** Takes over without the log. */
  serveProvisional(): this {
    this.expire();
    const saved = this.find('saveTerm');
    if (saved !== undefined) this.give({ type: 'termSaved', term: saved.term, atMs: this.nowMs });
    return this.give({ type: 'attached', atMs: this.nowMs });
  }

  get phase(): Vr['phase']['name'] {
    return this.vr.phase.name;
  }
}
