import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configurationOf, foldConfigurationEvent } from '../log/config-projection.js';
import type { ConfigurationEvent } from '../log/event.js';
import {
  type ConfigurationNews,
  type ConfigurationPeer,
  type ConfigurationRecord,
  type ConfigurationStep,
  configurationDifference,
  differsFromForce,
  mayApplyAtOnce,
  nextConfigurationStep,
  type OwnConfiguration,
  type SharedConfiguration,
} from './config-version.js';
import { bootId, nodeId } from './identity.js';

const shared = (digest: string, over: Partial<SharedConfiguration> = {}): SharedConfiguration => ({
  digest,
  protocol: 'carp',
  id: 51,
  addresses: ['10.0.0.1'],
  form: 'carp',
  key: 'k1',
  ...over,
});

interface Router {
  readonly name: string;
  boot: number;
  alive: boolean;
  running: string;
  prepared: string | undefined;
  forced: string | undefined;
}

/** A few nodes around one log: each acts on what the log says when it gets a turn. */
class Cluster {
  readonly routers: readonly Router[];
  #records: ReadonlyMap<string, ConfigurationRecord> = new Map();
  #sequence = 0;
  readonly switches: { readonly digest: string; readonly reason: string }[] = [];

  constructor(...running: readonly string[]) {
    this.routers = running.map((digest, index) => ({
      name: `r${index + 1}`,
      boot: 1,
      alive: true,
      running: digest,
      prepared: undefined,
      forced: undefined,
    }));
  }

  router(index: number): Router {
    const router = this.routers[index];
    if (router === undefined) throw new Error(`no router ${index}`);
    return router;
  }

  get record(): ConfigurationRecord {
    return configurationOf(this.#records, 'gw');
  }

  own(router: Router): OwnConfiguration {
    const { name, boot, running, prepared, forced } = router;
    return { node: nodeId(name), boot: bootId(`${boot}`), running, prepared, forced };
  }

  peersOf(router: Router): ConfigurationPeer[] {
    return this.routers
      .filter((other) => other.alive && other !== router)
      .map(({ name, boot, running }) => ({ node: nodeId(name), boot: bootId(`${boot}`), running: shared(running) }));
  }

  /** As a reload does it: what it has said it wants is taken back before it can be otherwise. */
  edit(index: number, digest: string): void {
    const router = this.router(index);
    if (this.record.wishes.some(({ node }) => node === router.name)) {
      this.#append(router, { type: 'configWithdrawn', version: this.record.version + 1 });
    }
    // It may have become what is in force since.
    if (router.prepared !== undefined && router.prepared === this.record.inForce?.digest) this.turn(router);
    const atOnce = mayApplyAtOnce(this.record, this.peersOf(router));
    router.prepared = undefined;
    if (digest === router.running) return;
    if (atOnce === 'any' || atOnce.includes(digest)) router.running = digest;
    else router.prepared = digest;
  }

  restart(index: number, digest: string): void {
    const router = this.router(index);
    Object.assign(router, { boot: router.boot + 1, alive: true, running: digest, prepared: undefined });
  }

  step(router: Router, record = this.record): ConfigurationStep | undefined {
    return nextConfigurationStep({ record, own: this.own(router), peers: this.peersOf(router), mayBegin: true });
  }

  /** One turn of one node, which may have read an older log. False where it had nothing to do. */
  turn(router: Router, record = this.record): boolean {
    if (!router.alive) return false;
    const step = this.step(router, record);
    if (step === undefined) return false;
    if (step.type === 'apply') {
      router.running = step.digest;
      router.prepared = undefined;
      return true;
    }
    if (step.type === 'switch' && record.sequence !== this.record.sequence) return true;
    this.#append(router, news(step));
    if (step.type === 'switch') {
      this.switches.push({ digest: step.digest, reason: step.reason });
      router.forced = undefined;
    }
    return true;
  }

  /** Until nobody has anything to do; how many turns that took. */
  settle(): number {
    let turns = 0;
    while (this.routers.some((router) => this.turn(router))) {
      turns += 1;
      if (turns > 100) throw new Error('they never come to rest');
    }
    return turns;
  }

  #append(router: Router, payload: ConfigurationNews): void {
    this.#sequence += 1;
    const { name, boot } = router;
    const event: ConfigurationEvent = {
      id: `e${this.#sequence}`,
      cluster: 'edge',
      node: nodeId(name),
      boot: bootId(`${boot}`),
      wallTimeMs: 0,
      monotonicMs: 0,
      vr: 'gw',
      payload,
    };
    this.#records = foldConfigurationEvent(this.#records, this.#sequence, event);
  }

  differing(): string[] {
    return this.routers
      .filter((router) => router.alive && differsFromForce(this.record, this.own(router)))
      .map(({ name }) => name);
  }

  get running(): string {
    return this.routers
      .map(({ running, prepared }) => `${running}${prepared === undefined ? '' : `(${prepared})`}`)
      .join(' ');
  }
}

function news(step: Exclude<ConfigurationStep, { type: 'apply' }>): ConfigurationNews {
  const { version } = step;
  switch (step.type) {
    case 'propose':
      return { type: 'configProposed', version, configuration: shared(step.digest) };
    case 'acknowledge':
      return { type: 'configAcknowledged', version, digest: step.digest };
    case 'withdraw':
      return { type: 'configWithdrawn', version };
    case 'switch':
      return { type: 'configSwitched', version, configuration: shared(step.digest), reason: step.reason };
  }
}

function pair(): Cluster {
  const cluster = new Cluster('a', 'a');
  cluster.settle();
  expect(cluster.record).toMatchObject({ version: 1, inForce: { digest: 'a' } });
  return cluster;
}

describe('a change of what the nodes have in common', () => {
  it('waits on the first node until the last one wants the same, then all switch', () => {
    const cluster = pair();
    cluster.edit(0, 'b');
    cluster.settle();
    expect(cluster.running).toBe('a(b) a');
    expect(cluster.record).toMatchObject({
      version: 1,
      inForce: { digest: 'a' },
      wishes: [{ node: 'r1', digest: 'b' }],
    });
    cluster.edit(1, 'b');
    cluster.settle();
    expect(cluster.running).toBe('b b');
    expect(cluster.record).toMatchObject({ version: 2, inForce: { digest: 'b' }, wishes: [], proposed: [] });
    expect(cluster.switches.at(-1)).toEqual({ digest: 'b', reason: 'agreed' });
    expect(cluster.differing()).toEqual([]);
  });

  it('is withdrawn where the file is changed back', () => {
    const cluster = pair();
    cluster.edit(0, 'b');
    cluster.settle();
    cluster.edit(0, 'a');
    cluster.settle();
    expect(cluster.record).toMatchObject({ version: 1, wishes: [], proposed: [] });
    cluster.edit(1, 'b');
    cluster.settle();
    expect(cluster.running).toBe('a a(b)');
  });

  it('does not count the word of an earlier life, nor wait for the dead', () => {
    const cluster = pair();
    cluster.edit(0, 'b');
    cluster.settle();
    // It came back with its old file.
    cluster.restart(0, 'a');
    cluster.settle();
    cluster.edit(1, 'b');
    cluster.settle();
    expect(cluster.running).toBe('a a(b)');
    cluster.router(0).alive = false;
    cluster.settle();
    expect(cluster.running).toBe('a b');
    expect(cluster.switches.at(-1)).toEqual({ digest: 'b', reason: 'alone' });
    cluster.restart(0, 'a');
    cluster.settle();
    expect(cluster.differing()).toEqual(['r1']);
    cluster.edit(0, 'b');
    cluster.settle();
    expect(cluster.running).toBe('b b');
    expect(cluster.differing()).toEqual([]);
  });

  it('may be forced: who has prepared it follows, who has not is shown', () => {
    const cluster = new Cluster('a', 'a', 'a');
    cluster.settle();
    cluster.edit(1, 'b');
    cluster.settle();
    Object.assign(cluster.router(0), { running: 'b', forced: 'b' });
    cluster.settle();
    expect(cluster.running).toBe('b b a');
    expect(cluster.switches.at(-1)).toEqual({ digest: 'b', reason: 'forced' });
    expect(cluster.differing()).toEqual(['r3']);
  });

  it('is announced by a node that was restarted with a changed file, and shown until the others follow', () => {
    const cluster = pair();
    cluster.restart(1, 'b');
    cluster.settle();
    expect(cluster.differing()).toEqual(['r2']);
    expect(cluster.record.wishes).toMatchObject([{ node: 'r2', digest: 'b' }]);
    cluster.restart(0, 'b');
    cluster.settle();
    expect(cluster.differing()).toEqual([]);
    expect(cluster.record).toMatchObject({ version: 2, inForce: { digest: 'b' } });
  });

  it('is refused by the log where something was said meanwhile', () => {
    const cluster = pair();
    cluster.edit(0, 'b');
    cluster.edit(1, 'b');
    const [one, two] = [cluster.router(0), cluster.router(1)];
    cluster.turn(one);
    cluster.turn(two);
    const read = cluster.record;
    expect(cluster.step(one, read)).toMatchObject({ type: 'switch' });
    cluster.edit(1, 'a');
    cluster.turn(two);
    cluster.turn(one, read);
    expect(cluster.record).toMatchObject({ version: 1, inForce: { digest: 'a' } });
  });

  it('never leaves two that run together with different configurations unless one was restarted so', () => {
    const action = fc.record({
      who: fc.integer({ min: 0, max: 2 }),
      what: fc.constantFrom('edit', 'turn', 'stale', 'die', 'return', 'settle'),
      digest: fc.constantFrom('a', 'b', 'c'),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const cluster = new Cluster('a', 'a', 'a');
        cluster.settle();
        // Who has come back with a file of its own, or was alone with it.
        const strayed = new Set<string>();
        const past: ConfigurationRecord[] = [];
        for (const { who, what, digest } of actions) {
          const router = cluster.router(who);
          past.push(cluster.record);
          if (what === 'edit' && router.alive) {
            cluster.edit(who, digest);
            // Another one may come back before the log has been told.
            if (cluster.peersOf(router).length === 0) strayed.add(router.name);
          }
          if (what === 'turn') cluster.turn(router);
          else if (what === 'stale') cluster.turn(router, past.at(-2) ?? cluster.record);
          else if (what === 'die') router.alive = false;
          else if (what === 'return' && !router.alive) {
            cluster.restart(who, digest);
            strayed.add(router.name);
          } else if (what === 'settle') cluster.settle();
          for (const other of cluster.routers) {
            const inForce = cluster.record.inForce?.digest;
            // It applies what is in force, or what it may since it is alone; nothing else.
            if (other.alive && other.prepared !== undefined && other.prepared !== inForce) {
              expect(other.running).not.toBe(other.prepared);
            }
          }
        }
        cluster.settle();
        // In the end whoever is up and wants what is in force runs it, and the rest is shown.
        for (const router of cluster.routers.filter(({ alive }) => alive)) {
          const inForce = cluster.record.inForce?.digest;
          const isShown = cluster.differing().includes(router.name);
          expect(router.running === inForce || isShown).toBe(true);
          if (!strayed.has(router.name)) expect(router.running).toBe(inForce);
          expect(router.prepared === inForce).toBe(false);
        }
        // All want the same: it is in force.
        const wanted = new Set(
          cluster.routers.filter(({ alive }) => alive).map(({ running, prepared }) => prepared ?? running),
        );
        if (wanted.size === 1) expect([...wanted]).toEqual([cluster.record.inForce?.digest]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('in what two configurations differ', () => {
  it('is said in words, of a key only that it is another', () => {
    const base = shared('a');
    expect(configurationDifference(base, base)).toBe('');
    expect(configurationDifference(shared('b', { addresses: ['10.0.0.2', '10.0.0.3'] }), base)).toBe(
      'it has 10.0.0.2, 10.0.0.3; it lacks 10.0.0.1',
    );
    expect(configurationDifference(shared('b', { key: 'k2' }), base)).toBe('another key');
    expect(configurationDifference(shared('b', { key: '', form: '' }), base)).toBe(
      'no authentication instead of carp; no key',
    );
    expect(configurationDifference(shared('b', { protocol: 'vrrp3', id: 7 }), base)).toBe(
      'protocol vrrp3 instead of carp; id 7 instead of 51',
    );
    expect(configurationDifference(shared('b'), base)).not.toBe('');
  });
});
