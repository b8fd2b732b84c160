import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { UnicastConfig } from '../config/config.js';
import { nodeId, term } from '../core/identity.js';
import type { HeardNotice } from '../core/vr-state.js';
import { demuxFrame } from '../wire/demux.js';
import { type MacAddress, vrrpVirtualMac } from '../wire/mac.js';
import { LanCounter } from './lan-counter.js';
import { LanKey } from './lan-key.js';
import { NoticeExchange } from './notice-exchange.js';
import type { ParentPort } from './parent-port.js';

const directory = mkdtempSync(join(tmpdir(), 'koi-notice-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const noWarning = { warn: () => undefined };

async function keyOf(secret: string, cluster = 'edge', startedMs = 1_700_000_000_000): Promise<LanKey> {
  const lanKeyFile = join(directory, `${secret}.key`);
  writeFileSync(lanKeyFile, secret.padEnd(32, '.'));
  const counter = await LanCounter.open(mkdtempSync(join(directory, 'state-')), startedMs, noWarning);
  const key = LanKey.open({ cluster, lanKeyFile }, counter);
  if (key === undefined) throw new Error('unreachable');
  return key;
}

interface Setting {
  readonly vr?: string;
  readonly key?: LanKey | undefined;
  readonly protocol?: 'vrrp3' | 'vrrp2';
  readonly unicast?: UnicastConfig;
}

class Node {
  readonly sent: Uint8Array[] = [];
  readonly routed: Uint8Array[] = [];
  readonly heard: HeardNotice[] = [];
  readonly refused: string[] = [];
  readonly exchange: NoticeExchange;

  constructor(name: string, host: number, { vr = 'gw', key, protocol = 'vrrp3', unicast }: Setting) {
    const parent = {
      state: { mac: `02:00:00:00:00:0${host}` as MacAddress } as ParentPort['state'],
      send: (frames: readonly Uint8Array[]) => this.sent.push(...frames),
      sendRouted: (frames: readonly Uint8Array[]) => this.routed.push(...frames),
      refuse: (_: unknown, reason: string) => this.refused.push(reason),
    };
    this.exchange = new NoticeExchange({
      vr,
      node: nodeId(name),
      key,
      parent,
      route: {
        config: { id: 51, protocol, unicast },
        families: [4, 6],
        sources: { 4: `192.0.2.1${host}`, 6: `fe80::${host}` },
      },
      onHeard: (notice) => this.heard.push(notice),
    });
  }

  tell(): readonly Uint8Array[] {
    const before = this.sent.length + this.routed.length;
    this.exchange.send({ termHeld: term(7), logged: true, highestLoggedTerm: term(8) });
    return [...this.sent, ...this.routed].slice(before);
  }

  hear(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      const demuxed = demuxFrame(frame);
      if (demuxed.kind !== 'notice') throw new Error(`it is ${demuxed.kind}`);
      this.exchange.heard(demuxed, frame);
    }
  }
}

const told = { node: 'r1', source: '192.0.2.11', termHeld: 7, logged: true, highestLoggedTerm: 8 };

describe('a notice', () => {
  it('is heard by another node of the cluster, in each family', async () => {
    const [r1, r2] = [new Node('r1', 1, { key: await keyOf('one') }), new Node('r2', 2, { key: await keyOf('one') })];
    r2.hear(r1.tell());
    expect(r2.heard).toEqual([told, { ...told, source: 'fe80::1' }]);
    expect(r2.refused).toEqual([]);
  });

  it("goes to the group from the parent's own MAC, never from the virtual one", async () => {
    const frames = new Node('r1', 1, { key: await keyOf('one') }).tell().map(demuxFrame);
    expect(frames).toMatchObject([
      { etherSource: '02:00:00:00:00:01', source: '192.0.2.11', destination: '224.0.0.18', hopLimit: 255 },
      { etherSource: '02:00:00:00:00:01', source: 'fe80::1', destination: 'ff02::12', hopLimit: 255 },
    ]);
    expect(frames).not.toContainEqual(expect.objectContaining({ etherSource: vrrpVirtualMac(4, 51) }));
  });

  it('goes to single peers where adverts do, and is heard from them alone', async () => {
    const peersOf = (...peers: string[]): UnicastConfig => ({ source: undefined, peers, minTtl: 254 });
    const r1 = new Node('r1', 1, { key: await keyOf('one'), unicast: peersOf('192.0.2.12', '192.0.2.13') });
    const frames = r1.tell();
    expect(r1.sent).toEqual([]);
    expect(frames.map(demuxFrame)).toMatchObject([{ destination: '192.0.2.12' }, { destination: '192.0.2.13' }]);
    const r2 = new Node('r2', 2, { key: await keyOf('one'), unicast: peersOf('192.0.2.11') });
    r2.hear(frames);
    expect(r2.heard).toEqual([told]);
    expect(r2.refused).toEqual(['wrong_destination']);
    const stranger = new Node('r2', 2, { key: await keyOf('one'), unicast: peersOf('192.0.2.19') });
    stranger.hear(frames.slice(0, 1));
    expect(stranger.refused).toEqual(['unknown_peer']);
  });

  it('is neither sent nor believed without a key', async () => {
    expect(new Node('r1', 1, { key: undefined }).tell()).toEqual([]);
    const r2 = new Node('r2', 2, { key: undefined });
    r2.hear(new Node('r1', 1, { key: await keyOf('one') }).tell());
    expect(r2.heard).toEqual([]);
    expect(r2.refused).toEqual(['notice_no_key', 'notice_no_key']);
  });
});

describe('what is not believed', () => {
  const refusals = async (sender: Setting, receiver: Setting = {}): Promise<string[]> => {
    const key = await keyOf('one');
    const r2 = new Node('r2', 2, { key, ...receiver });
    r2.hear(new Node('r1', 1, { key, ...sender }).tell());
    expect(r2.heard).toEqual([]);
    return r2.refused;
  };

  it('another key', async () => {
    expect(new Set(await refusals({ key: await keyOf('two') }))).toEqual(new Set(['notice_bad_digest']));
  });

  it('another cluster, or another virtual router, with the same key and id', async () => {
    expect(new Set(await refusals({ key: await keyOf('one', 'core') }))).toEqual(new Set(['notice_other_scope']));
    expect(new Set(await refusals({ vr: 'dmz' }))).toEqual(new Set(['notice_other_scope']));
  });

  it('another protocol', async () => {
    expect(new Set(await refusals({ protocol: 'vrrp2' }))).toEqual(new Set(['protocol_mismatch']));
  });

  it('what was recorded before, and everything older', async () => {
    const [r1, r2] = [new Node('r1', 1, { key: await keyOf('one') }), new Node('r2', 2, { key: await keyOf('one') })];
    const [old, newer] = [r1.tell(), r1.tell()];
    r2.hear(newer);
    r2.hear(newer);
    r2.hear(old);
    expect(r2.heard).toHaveLength(2);
    expect(r2.refused).toEqual(Array.from({ length: 4 }, () => 'notice_replayed'));
  });

  it('its own, come back', async () => {
    const key = await keyOf('one');
    const r1 = new Node('r1', 1, { key });
    r1.hear(r1.tell());
    expect(r1.refused).toEqual(['own_advert', 'own_advert']);
  });

  it('that of another machine under the name of this node, which is told apart from its own', async () => {
    const key = await keyOf('one');
    const namesake = new Node('r1', 3, { key });
    namesake.hear(new Node('r1', 1, { key }).tell());
    expect(namesake.heard).toEqual([]);
    expect(namesake.refused).toEqual(['notice_same_node', 'notice_same_node']);
  });

  it('what a router has forwarded', async () => {
    const key = await keyOf('one');
    const r2 = new Node('r2', 2, { key });
    const frames = new Node('r1', 1, { key }).tell().slice(1);
    for (const frame of frames) frame[14 + 7] = 254;
    r2.hear(frames);
    expect(r2.refused).toEqual(['bad_ttl']);
  });

  it('a changed octet, wherever', async () => {
    const key = await keyOf('one');
    const [frame] = new Node('r1', 1, { key }).tell();
    if (frame === undefined) throw new Error('unreachable');
    for (let at = 14 + 20 + 8; at < frame.length; at++) {
      const r2 = new Node('r2', 2, { key });
      const changed = frame.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      r2.hear([changed]);
      expect(r2.heard).toEqual([]);
    }
  });
});

it('a key that is too short is refused, with what to do', async () => {
  const lanKeyFile = join(directory, 'short.key');
  writeFileSync(lanKeyFile, 'secret\n');
  const counter = await LanCounter.open(directory, 0, noWarning);
  expect(() => LanKey.open({ cluster: 'edge', lanKeyFile }, counter)).toThrow(/lanKeyFile: .* holds a key of 6 bytes/);
  expect(LanKey.open({ cluster: 'edge', lanKeyFile: undefined }, counter)).toBeUndefined();
});
