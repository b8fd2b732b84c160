import { expect, it } from 'vitest';
import { Machine } from '../../test/core/machine.js';
import { virtualAddress, vrrpRouter } from '../../test/core/router-config.js';
import type { VrrpRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { sharedConfiguration } from '../config/shared-configuration.js';
import { rulesOf } from '../core/election-rules.js';
import { nodeId } from '../core/identity.js';
import { AF_UNIX, binding, openSocket, SOCK_STREAM } from '../kernel/binding.js';
import { demuxFrame } from '../wire/demux.js';
import { AdvertHearing } from './advert-hearing.js';
import { AdvertMemory } from './advert-memory.js';
import { AdvertRoute } from './advert-route.js';
import type { PreparedRouter } from './configuration-stage.js';
import type { ParentState } from './parent-port.js';
import { createAdapter } from './protocol-adapter.js';
import { RouterMachine } from './router-machine.js';
import { RunningConfiguration } from './running-configuration.js';

const state: ParentState = {
  fault: undefined,
  ifindex: 2,
  name: 'eth1',
  mac: undefined,
  primaryAddress: '10.0.0.1',
  addresses: ['10.0.0.1'],
  linkLocal: 'fe80::1',
};

function prepared(config: VrrpRouterConfig): PreparedRouter {
  const adapter = createAdapter(config, { now: () => 0, wallNow: () => 0 });
  return { config, adapter, shared: sharedConfiguration(config, '') };
}

/** A backup that hears another router of the same configuration. */
class Backup {
  nowMs = 0;
  readonly counters = { advertsReceived: 0 };
  readonly told: string[] = [];
  readonly nodes = new Map([['10.0.0.2', nodeId('r2')]]);
  readonly machine = new RouterMachine(new Machine({ arbitration: 'wire' }).vr);
  readonly running: RunningConfiguration;
  readonly hearing: AdvertHearing;
  readonly #config: VrrpRouterConfig;
  readonly #memory = new AdvertMemory('eth1', { set: () => undefined });
  /** Any socket will do: what comes in is put before the memory by hand. */
  readonly #handle = openSocket('a socket', AF_UNIX, SOCK_STREAM, 0);

  constructor(config: VrrpRouterConfig) {
    this.#config = config;
    this.running = new RunningConfiguration(prepared(config));
    const port = { state, send: () => 0, sendRouted: () => 0 };
    this.#memory.bind({ handle: this.#handle });
    this.hearing = new AdvertHearing({
      vr: 'gw',
      running: this.running,
      route: new AdvertRoute(this.running, port),
      machine: this.machine,
      parent: { state, memory: this.#memory, refuse: (_, reason) => this.told.push(`refused: ${reason}`) },
      detectors: {
        refused: (_, reason) => this.told.push(`detectors: ${reason}`),
        heardMaster: ({ source }) => this.told.push(`master ${source}`),
        isStranger: () => false,
      },
      counters: this.counters,
      nodeAt: (address) => this.nodes.get(address),
      now: () => this.nowMs,
      wallNow: () => this.nowMs,
      log: { info: (_: unknown, text?: string) => this.told.push(text ?? ''), warn: () => this.told.push('lost') },
      onSilent: () => undefined,
      onUnknown: () => undefined,
      onFamilies: () => this.told.push('families'),
    });
  }

  /** Hears what a router of this priority says; the machine takes it. @returns whether it is only counted from then on */
  hears(priority: number, families: readonly (4 | 6)[] = [4]): boolean {
    const theirs = { ...this.#config, priority };
    const rules = rulesOf(electionOf(theirs));
    const { adapter } = prepared(theirs);
    const candidacy = priority === 0 ? rules.farewell : rules.candidacy;
    let isCounted = false;
    for (const frame of adapter.adverts(candidacy, { 4: '10.0.0.2', 6: 'fe80::2' })) {
      const packet = demuxFrame(frame);
      if (packet.kind !== 'vrrp' || !families.includes(packet.family)) continue;
      const judgement = this.hearing.judge(packet, frame, true);
      if (judgement.kind !== 'heard') continue;
      const advert = this.hearing.heard(packet, judgement.candidacy, priority === 0, this.nowMs);
      this.machine.take({ type: 'advert', advert, atMs: this.nowMs });
      isCounted = this.hearing.remember(packet, frame, false);
    }
    return isCounted;
  }

  [Symbol.dispose](): void {
    this.#memory.bind(undefined);
    binding().close(this.#handle);
  }
}

const plain = vrrpRouter({ checksum: 'pseudo-header' });
const both = { ...plain, addresses: [virtualAddress('10.0.0.254/24'), virtualAddress('2001:db8::1/64')] };

it('knows a master by its node, or by its address where it is nobody’s of the cluster', () => {
  using backup = new Backup(plain);
  backup.hears(200);
  expect(backup.hearing.master).toBe('r2');
  expect([...backup.hearing.peersSeenMs]).toEqual([['r2', 0]]);
  backup.nodes.clear();
  backup.hears(201);
  expect(backup.hearing.master).toBe('10.0.0.2');
  expect(backup.counters.advertsReceived).toBe(2);
});

it('nobody is the master who gives it up', () => {
  using backup = new Backup(plain);
  backup.hears(0);
  expect(backup.hearing.master).toBeUndefined();
  expect(backup.told).toEqual([]);
});

it('only counts what comes again, unless it is judged by another configuration or in two families', () => {
  using backup = new Backup(plain);
  expect(backup.hears(200)).toBe(true);
  expect(backup.hearing.isOnlyCounted).toBe(true);
  // It is no longer when anything happens.
  backup.hearing.forget();
  expect(backup.hearing.isOnlyCounted).toBe(false);
  backup.running.prepare(prepared(vrrpRouter({ priority: 90, addresses: both.addresses })));
  expect(backup.hears(200)).toBe(false);
  using ofBoth = new Backup(both);
  expect(ofBoth.hears(200, [4, 6])).toBe(false);
});

it('says once which family of a master’s adverts is lost, and that it is heard again', () => {
  using backup = new Backup(both);
  backup.hears(200, [4, 6]);
  for (let second = 1; second <= 8; second++) {
    backup.nowMs = second * 1000;
    backup.hears(200, [4]);
  }
  const news = () => backup.told.filter((text) => !text.startsWith('master'));
  expect(news()).toEqual(['lost', 'families']);
  expect(backup.hearing.warnings).toEqual(["the master's adverts over IPv6 are lost"]);
  backup.hears(200, [6]);
  expect(news().slice(2)).toEqual(['adverts over IPv6 are heard again', 'families']);
  expect(backup.hearing.warnings).toEqual([]);
});

it('has an advert that it refuses explained, and has heard nobody', () => {
  using backup = new Backup(plain);
  const theirs = vrrpRouter({ checksum: 'pseudo-header', addresses: [virtualAddress('10.0.0.253/24')] });
  const [frame = new Uint8Array()] = prepared(theirs).adapter.adverts(rulesOf(electionOf(theirs)).candidacy, {
    4: '10.0.0.2',
    6: undefined,
  });
  const packet = demuxFrame(frame);
  if (packet.kind !== 'vrrp') throw new Error('no advert');
  backup.hearing.judge(packet, frame, true);
  expect(backup.told).toEqual(['refused: address_mismatch', 'detectors: address_mismatch']);
  expect([backup.hearing.peersSeenMs.size, backup.counters.advertsReceived]).toEqual([0, 0]);
});
