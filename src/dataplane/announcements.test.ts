import { describe, expect, it } from 'vitest';
import { vrrpRouter } from '../../test/core/router-config.js';
import type { AttachmentGroup } from '../attach/attachment-group.js';
import { servingTimeoutMs, settleMs } from '../core/handover.js';
import { Announcements } from './announcements.js';
import { RouterCounters } from './router-counters.js';

/** Time that passes only where something is due. */
class Stage {
  nowMs = 0;
  phase: 'master' | 'backup' = 'master';
  readonly shownAtMs: number[] = [];
  readonly announcedAtMs: number[] = [];
  readonly #due = new Map<string, { atMs: number; act: () => void }>();

  readonly announcements = new Announcements({
    vr: 'gw',
    attachment: {
      announce: () => this.announcedAtMs.push(this.nowMs),
      refreshMacs: () => this.shownAtMs.push(this.nowMs),
    } as unknown as AttachmentGroup,
    scheduler: {
      set: (name, atMs, wake) => {
        if (atMs === undefined) this.#due.delete(name);
        else this.#due.set(name, { atMs, act: () => wake(atMs, 0) });
      },
    },
    now: () => this.nowMs,
    checkLoop: () => undefined,
    machine: this,
    running: { config: vrrpRouter(), adapter: { farewellGoodMs: undefined } },
    places: { virtualMacs: new Set(), isSpread: false },
    links: { addresses: [] },
    counters: new RouterCounters(),
    log: { error: () => undefined },
    onSeen: () => undefined,
  });

  runUntil(ms: number): void {
    for (;;) {
      const next = [...this.#due].sort(([, a], [, b]) => a.atMs - b.atMs)[0];
      if (next === undefined || next[1].atMs > ms) break;
      this.#due.delete(next[0]);
      this.nowMs = next[1].atMs;
      next[1].act();
    }
    this.nowMs = ms;
  }
}

describe('announcements', () => {
  it('show the virtual MAC several times while the former master, hushed, lets go, and leave off with it', () => {
    const stage = new Stage();
    stage.announcements.start(0, true);
    stage.runUntil(2000);
    const { shownAtMs } = stage;
    const gaps = shownAtMs.map((atMs, index) => atMs - (shownAtMs[index - 1] ?? 0));
    for (const gap of gaps) expect(gap).toBeLessThanOrEqual(settleMs / 4);
    expect(shownAtMs.at(-1)).toBeGreaterThan(servingTimeoutMs);
    expect(shownAtMs.length).toBeLessThan(300);
  });

  it('show nothing more once the former master has let go', () => {
    const stage = new Stage();
    stage.announcements.start(0, true);
    stage.runUntil(settleMs);
    const { length } = stage.shownAtMs;
    stage.announcements.lingeringEnded();
    stage.runUntil(2000);
    expect(length).toBeGreaterThan(3);
    expect(stage.shownAtMs).toHaveLength(length);
  });

  it('show nothing more once this node serves no longer', () => {
    const stage = new Stage();
    stage.announcements.start(0, true);
    stage.runUntil(settleMs);
    const { length } = stage.shownAtMs;
    stage.phase = 'backup';
    stage.runUntil(1000);
    expect(stage.shownAtMs).toHaveLength(length);
  });

  it('leave the switches alone where nobody lingers', () => {
    const stage = new Stage();
    stage.announcements.start(0);
    stage.runUntil(1000);
    expect(stage.shownAtMs).toEqual([]);
  });
});

describe('where somebody tells clients something else', () => {
  it('what is true is said at once, again and again at a bounded rate, and once more afterwards', () => {
    const stage = new Stage();
    stage.runUntil(1000);
    for (let atMs = 1000; atMs <= 2000; atMs += 10) {
      stage.runUntil(atMs);
      stage.announcements.again(atMs);
    }
    stage.runUntil(10_000);
    expect(stage.announcedAtMs.slice(0, 3)).toEqual([1000, 1200, 1400]);
    expect(stage.announcedAtMs.length).toBeLessThanOrEqual(8);
    expect(stage.announcedAtMs.at(-1)).toBe(3100);
  });

  it('nobody but the master says it', () => {
    const stage = new Stage();
    stage.phase = 'backup';
    stage.announcements.again(0);
    stage.runUntil(5000);
    expect(stage.announcedAtMs).toEqual([]);
  });
});
