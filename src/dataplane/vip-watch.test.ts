import { describe, expect, it } from 'vitest';
import type { openWatch } from '../kernel/watch.js';
import { encodeArp, gratuitousArp } from '../wire/arp.js';
import { demuxFrame } from '../wire/demux.js';
import { encodeEthernet, etherType } from '../wire/ethernet.js';
import type { MacAddress } from '../wire/mac.js';
import { buildAnnounceWish, readVipProbe } from '../wire/vip-probe.js';
import type { KeptNews } from './agent-server.js';
import { Detection } from './detection.js';
import { LanWatch } from './lan-watch.js';
import type { ParentPort } from './parent-port.js';
import { RouterCounters } from './router-counters.js';
import { VipWatch } from './vip-watch.js';

const virtualMac = '00:00:5e:00:01:33' as MacAddress;
const offender = '02:00:00:00:00:99' as MacAddress;
const own = '02:00:00:00:00:02' as MacAddress;
const vip = '192.0.2.1';

type OnFrame = Parameters<typeof openWatch>[2];

/** One interface of one node, with time that passes only where something is due. */
class Stage {
  nowMs = 0;
  role: 'asks' | 'idle' | { servesSinceMs: number } = 'asks';
  hasRival = false;
  announced = 0;
  paused = false;
  readonly told: KeptNews[] = [];
  readonly sent: Uint8Array[] = [];
  readonly counters = new RouterCounters();
  readonly #due = new Map<string, { atMs: number; act: () => void }>();
  readonly #scheduler = {
    set: (name: string, atMs: number | undefined, act: (atMs: number, lateMs: number) => void): void => {
      if (atMs === undefined) this.#due.delete(name);
      else this.#due.set(name, { atMs, act: () => act(this.nowMs, 0) });
    },
  };
  #onFrame: OnFrame | undefined;
  readonly watch = new LanWatch({
    key: 'eth1',
    scheduler: this.#scheduler,
    now: () => this.nowMs,
    beforeFrames: () => undefined,
    open: ((_ifindex: number, _watched: object, onFrame: OnFrame) => {
      this.#onFrame = onFrame;
      return {
        start: () => {
          this.paused = false;
        },
        pause: () => {
          this.paused = true;
        },
        drops: () => 7,
        close: () => undefined,
      };
    }) as unknown as typeof openWatch,
  });
  readonly detection = new Detection({
    keep: (news) => this.told.push(news),
    now: () => this.nowMs,
    wallNow: () => this.nowMs,
    log: { warn: () => undefined, info: () => undefined },
  });
  readonly vipWatch: VipWatch;

  constructor() {
    this.watch.bind(3);
    const port = {
      watch: this.watch,
      state: { fault: undefined, primaryAddress: '192.0.2.7', linkLocal: 'fe80::7', mac: own },
      send: (frames: readonly Uint8Array[]) => {
        this.sent.push(...frames);
        return frames.length;
      },
    } as unknown as ParentPort;
    this.vipWatch = new VipWatch({
      vr: 'gw',
      id: 51,
      key: 'gw 0',
      port,
      virtualMacs: new Set([virtualMac]),
      vips: new Map([[vip, virtualMac]]),
      scheduler: this.#scheduler,
      detection: this.detection,
      counters: this.counters,
      now: () => this.nowMs,
      random: () => 0.5,
      role: () => this.role,
      hasRival: () => this.hasRival,
      onWrong: () => {
        this.announced += 1;
      },
      onAdvertisement: () => undefined,
    });
  }

  hear(frame: Uint8Array, packetType = 1): void {
    const outgoing = packetType === 4;
    this.#onFrame?.(frame, { outgoing, packetType, protocol: 0, ifindex: 3, wireLength: frame.length });
  }

  answer(mac: MacAddress): void {
    const frame = new Uint8Array(60);
    frame.set(encodeEthernet({ destination: own, source: mac, etherType: etherType.arp }));
    frame.set(
      encodeArp({ opcode: 2, senderMac: mac, senderAddress: vip, targetMac: own, targetAddress: '192.0.2.7' }),
      14,
    );
    this.hear(frame, 0);
  }

  run(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = [...this.#due].sort(([, a], [, b]) => a.atMs - b.atMs)[0];
      if (next === undefined || next[1].atMs > endMs) break;
      this.#due.delete(next[0]);
      this.nowMs = next[1].atMs;
      next[1].act();
    }
    this.nowMs = endMs;
  }

  /** Until the next question has gone out. */
  asked(): void {
    const before = this.questions;
    while (this.questions === before && this.nowMs < 1e6) this.run(10);
  }

  get questions(): number {
    return this.purposes.filter((purpose) => purpose === 'who_has').length;
  }

  get purposes(): (string | undefined)[] {
    return this.sent.map((frame) => readVipProbe(demuxFrame(frame), frame)?.purpose);
  }

  get kinds(): string[] {
    return this.told.map((news) =>
      news.type === 'episode' ? `${news.ended === null ? '+' : '-'}${news.episode.kind}` : '',
    );
  }
}

describe('a backup', () => {
  it('asks every 4 to 5 s and finds one master', () => {
    const stage = new Stage();
    for (let each = 0; each < 20; each++) {
      stage.asked();
      stage.answer(virtualMac);
    }
    expect(stage.nowMs / 20).toBeGreaterThan(4000);
    expect(stage.nowMs / 20).toBeLessThan(5000);
    stage.run(1000);
    expect(stage.vipWatch.result(vip)).toEqual({ responders: 1, macMatch: true });
    expect(stage.kinds).toEqual([]);
  });

  it('reports who answers with another MAC at once, wishes for an announcement and asks on every second', () => {
    const stage = new Stage();
    stage.asked();
    stage.answer(virtualMac);
    stage.answer(offender);
    expect(stage.kinds).toEqual(['+wrong_mac']);
    expect(stage.told[0]).toMatchObject({ episode: { subject: offender, vr: 'gw' } });
    expect(stage.purposes.at(-1)).toBe('announce_again');
    const before = stage.questions;
    for (let each = 0; each < 10; each++) {
      stage.asked();
      stage.answer(offender);
    }
    expect(stage.questions - before).toBe(10);
    expect(stage.nowMs).toBeLessThan(20_000);
    expect(stage.counters.wrongMac.get('probe_answer')).toBe(11);
    expect(stage.announced).toBe(0);
    stage.run(17_000);
    stage.detection.settle();
    expect(stage.kinds).toEqual(['+wrong_mac', '-wrong_mac']);
  });

  it('finds two masters where the virtual MAC answers twice, and asks again before it says so', () => {
    const stage = new Stage();
    const both = (): void => {
      stage.asked();
      stage.answer(virtualMac);
      stage.answer(virtualMac);
    };
    both();
    stage.run(900);
    expect(stage.kinds).toEqual([]);
    both();
    stage.run(900);
    expect(stage.kinds).toEqual(['+split_brain']);
    expect(stage.counters.splitBrainsProbed).toBe(1);
    stage.asked();
    stage.answer(virtualMac);
    stage.run(900);
    expect(stage.kinds).toEqual(['+split_brain', '-split_brain']);
  });

  it('that has become master forgets what it had found', () => {
    const stage = new Stage();
    stage.asked();
    stage.answer(virtualMac);
    stage.run(900);
    stage.role = { servesSinceMs: stage.nowMs };
    stage.run(10_000);
    expect(stage.vipWatch.result(vip)).toBeUndefined();
    const before = stage.questions;
    stage.run(60_000);
    expect(stage.questions).toBe(before);
  });
});

describe('a master', () => {
  it('announces where somebody says otherwise, and where a backup wishes it', () => {
    const stage = new Stage();
    stage.role = { servesSinceMs: 0 };
    stage.hear(gratuitousArp({ virtualMac: offender, address: vip, operation: 'request' }));
    expect(stage.announced).toBe(1);
    expect(stage.kinds).toEqual(['+wrong_mac']);
    stage.hear(buildAnnounceWish({ id: 51, source: '192.0.2.8', senderMac: own }));
    expect(stage.announced).toBe(2);
    stage.hear(buildAnnounceWish({ id: 52, source: '192.0.2.8', senderMac: own }));
    expect(stage.announced).toBe(2);
    expect(stage.purposes).toEqual([]);
  });

  it('hears its virtual MAC from nobody else, once it has served for a while and alone', () => {
    const stage = new Stage();
    const leak = gratuitousArp({ virtualMac, address: vip, operation: 'request' });
    stage.role = { servesSinceMs: 0 };
    stage.nowMs = 1000;
    for (let each = 0; each < 5; each++) stage.hear(leak);
    stage.hasRival = true;
    stage.nowMs = 3000;
    for (let each = 0; each < 5; each++) stage.hear(leak);
    expect(stage.counters.leaks).toBe(0);
    stage.hasRival = false;
    for (let each = 0; each < 5; each++) stage.hear(leak);
    expect(stage.counters.leaks).toBe(5);
    expect(stage.kinds).toEqual(['+virtual_mac_leak']);
    expect(stage.detection.open[0]?.evidence).toEqual([
      { key: 'mac', value: virtualMac },
      { key: 'frame', value: `ARP request for ${vip} from ${vip}` },
    ]);
  });
});

describe('a storm', () => {
  it('is looked at a bounded number of times a second, tells one episode, and holds nothing', () => {
    const stage = new Stage();
    stage.role = { servesSinceMs: 0 };
    const frame = gratuitousArp({ virtualMac: offender, address: vip, operation: 'request' });
    let looked = 0;
    for (let ms = 0; ms < 2000; ms++) {
      stage.run(1);
      // As the kernel would: nothing comes while nobody reads, and 64 at a time at most.
      for (let each = 0; each < 50 && !stage.paused; each++) {
        stage.hear(frame);
        looked += 1;
      }
    }
    expect(looked).toBeGreaterThan(2000);
    expect(looked).toBeLessThan(6000);
    expect(stage.kinds).toEqual(['+wrong_mac']);
    expect(stage.watch.counts.frames).toBe(looked);
  });
});
