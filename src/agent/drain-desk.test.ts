import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type NodeId, nodeId } from '../core/identity.js';
import type { VrStateName } from '../core/vr-state.js';
import { readDrained } from '../ipc/drain-file.js';
import type { ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import { DrainDesk } from './drain-desk.js';
import type { HandoverOutcome } from './handover-desk.js';

let stateDir: string;
let states: Map<string, VrStateName>;
let sent: ToDataplane[];
let changes: [boolean, boolean][];
let handOver: (vr: string, updating: boolean, passOver: ReadonlySet<NodeId>) => Promise<HandoverOutcome>;
let desks: DrainDesk[];
let running: number;
let runningMost: number;

const failed = (vr: string, mayPass: boolean): Extract<HandoverOutcome, { kind: 'failed' }> => ({
  kind: 'failed',
  vr,
  code: 'protocol',
  why: `nobody can take ${vr}`,
  remedy: '',
  mayPass,
});

function open(): DrainDesk {
  const desk = new DrainDesk({
    stateDir,
    routers: () => [...states.keys()],
    told: (vr) => ({ state: states.get(vr) }) as VrStateMessage,
    handOver: async (vr, _timeoutMs, updating, passOver) => {
      running += 1;
      runningMost = Math.max(runningMost, running);
      const outcome = await handOver(vr, updating, passOver);
      running -= 1;
      return outcome;
    },
    send: (message) => {
      sent.push(message);
      if (message.type === 'drain' && message.force) for (const vr of states.keys()) states.set(vr, 'backup');
      return true;
    },
    onChange: (drained, force) => changes.push([drained, force]),
    wallNow: Date.now,
  });
  desks.push(desk);
  return desk;
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  stateDir = mkdtempSync(join(tmpdir(), 'koi-drain-'));
  states = new Map();
  sent = [];
  changes = [];
  desks = [];
  [running, runningMost] = [0, 0];
  handOver = async (vr) => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    states.set(vr, 'backup');
    return { kind: 'moved', vr, from: 'r1', to: 'r2', term: 2, tookMs: 10 };
  };
});
afterEach(() => {
  for (const desk of desks) desk.stop();
  vi.useRealTimers();
  rmSync(stateDir, { recursive: true });
});

describe('a drain', () => {
  it('hands over 200 virtual routers, a bounded number at a time', async () => {
    for (let i = 0; i < 200; i += 1) states.set(`vr${i}`, 'master');
    const desk = open();
    expect(desk.drain(false)).toMatchObject({ drained: true, done: false, since: '2023-11-14T22:13:20.000Z' });
    await vi.advanceTimersByTimeAsync(200);
    const { done, vrs } = desk.progress();
    expect([done, vrs.length, runningMost]).toEqual([true, 200, 16]);
    expect(vrs.every(({ outcome, to }) => outcome === 'handed_over' && to === 'r2')).toBe(true);
    expect(sent[0]).toEqual({ type: 'drain', drained: true, force: false });
    expect(changes).toEqual([[true, false]]);
  });

  it('tries again where that may help, and says what it keeps and why', async () => {
    states = new Map([
      ['a', 'master'],
      ['b', 'master'],
      ['c', 'backup'],
    ]);
    const tries: string[] = [];
    const moves = handOver;
    handOver = async (vr) => {
      tries.push(vr);
      if (vr === 'b') return failed(vr, false);
      return tries.filter((each) => each === 'a').length < 3 ? failed(vr, true) : moves(vr, false, new Set());
    };
    const desk = open();
    desk.drain(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(tries).toEqual(['a', 'b', 'a', 'a']);
    expect(desk.progress()).toMatchObject({
      done: true,
      vrs: [
        { vr: 'a', outcome: 'handed_over' },
        { vr: 'b', outcome: 'kept', why: 'nobody can take b' },
      ],
    });
    handOver = moves;
    await vi.advanceTimersByTimeAsync(5100);
    expect(desk.progress().vrs).toMatchObject([{ vr: 'a' }, { vr: 'b', outcome: 'handed_over' }]);
  });

  it('passes over who has not taken it, virtual router by virtual router', async () => {
    states = new Map([
      ['a', 'master'],
      ['b', 'master'],
    ]);
    const moves = handOver;
    const passed: string[] = [];
    handOver = async (vr, updating, passOver) => {
      passed.push(`${vr}: ${[...passOver].join()}`);
      if (vr === 'b' || passOver.has(nodeId('r3'))) return moves(vr, updating, passOver);
      return { ...failed(vr, true), by: nodeId(passOver.has(nodeId('r2')) ? 'r3' : 'r2') };
    };
    open().drain(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(passed).toEqual(['a: ', 'b: ', 'a: r2', 'a: r2,r3']);
  });

  it('with force releases what nobody can take', async () => {
    states.set('a', 'master');
    handOver = async (vr) => failed(vr, false);
    const desk = open();
    desk.drain(true);
    await vi.advanceTimersByTimeAsync(100);
    expect(sent).toContainEqual({ type: 'drain', drained: true, force: true });
    expect(desk.progress()).toMatchObject({
      done: true,
      vrs: [{ vr: 'a', outcome: 'released', why: 'nobody can take a' }],
    });
  });

  it('outlives the process, until undrain', () => {
    open().drain(false);
    const next = open();
    expect(next.sinceMs).toBe(1_700_000_000_000);
    sent = [];
    next.tellDataplane();
    expect(sent).toEqual([{ type: 'drain', drained: true, force: false }]);
    expect(next.undrain()).toMatchObject({ drained: false, since: null });
    expect(sent.at(-1)).toEqual({ type: 'drain', drained: false, force: false });
    expect(changes.at(-1)).toEqual([false, false]);
    expect(open().sinceMs).toBeUndefined();
  });

  it('for a restart ends with the next start of the dataplane, and leaves nothing on disk', () => {
    const desk = open();
    desk.dataplaneCame('first');
    desk.drain(false, true);
    expect([desk.sinceMs, open().sinceMs]).toEqual([1_700_000_000_000, undefined]);
    desk.dataplaneCame('first');
    expect(sent.at(-1)).toEqual({ type: 'drain', drained: true, force: false });
    desk.dataplaneCame('second');
    expect(desk.sinceMs).toBeUndefined();
    expect(sent.at(-1)).toEqual({ type: 'drain', drained: false, force: false });
    expect(changes).toEqual([
      [true, false],
      [false, false],
    ]);
  });

  it('looks first for a node that has been updated where it is for a restart, and only there', async () => {
    const asked: boolean[] = [];
    handOver = async (vr, updating) => {
      asked.push(updating);
      return failed(vr, true);
    };
    states.set('a', 'master');
    const desk = open();
    desk.dataplaneCame('first');
    desk.drain(false, true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked.splice(0)).toEqual([true, false, false, false]);
    desk.undrain();
    desk.drain(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toEqual([false, false, false, false]);
  });

  it('for a restart that is asked for before a dataplane has come is for the one that comes', () => {
    const desk = open();
    desk.drain(false, true);
    desk.dataplaneCame('first');
    expect(desk.sinceMs).toBe(1_700_000_000_000);
    expect(sent.at(-1)).toEqual({ type: 'drain', drained: true, force: false });
    desk.dataplaneCame('second');
    expect([desk.sinceMs, open().sinceMs]).toEqual([undefined, undefined]);
  });

  it("for a restart leaves an operator's drain what it is, and an operator makes one of it", () => {
    const desk = open();
    desk.dataplaneCame('first');
    desk.drain(false);
    desk.drain(false, true);
    desk.dataplaneCame('second');
    expect([desk.sinceMs, open().sinceMs]).toEqual([1_700_000_000_000, 1_700_000_000_000]);
    desk.undrain();
    desk.drain(false, true);
    desk.drain(false);
    desk.dataplaneCame('third');
    expect(desk.sinceMs).toBe(1_700_000_000_000);
  });

  it('counts a damaged note as drained', () => {
    writeFileSync(join(stateDir, 'drained.json'), '{"format": 1, "si');
    expect(readDrained(stateDir, 42)).toBe(42);
  });

  it('that cannot be kept on disk changes nothing', () => {
    const desk = open();
    rmSync(stateDir, { recursive: true });
    expect(() => desk.drain(false)).toThrow(/cannot be written/);
    expect([desk.sinceMs, sent, changes]).toEqual([undefined, [], []]);
    stateDir = mkdtempSync(join(tmpdir(), 'koi-drain-'));
  });
});
