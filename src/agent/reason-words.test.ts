import { describe, expect, it } from 'vitest';
import { observation } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { paint } from '../cli/paint.js';
import { formatEntry } from '../cli/timeline.js';
import { explainReason, type TransitionReason, transitionReasons } from '../core/reasons.js';
import { reasonsFor } from '../core/transitions.js';
import { vrStates } from '../core/vr-state.js';
import { decodeEvent, encodeEvent } from '../log/codec.js';
import type { ObservationEvent } from '../log/event.js';
import { MemoryLogServer } from '../log/memory.js';
import { logNames } from '../log/subjects.js';
import { createMetrics } from '../observe/metrics.js';
import { metricWords } from './metric-words.js';
import { sentenceOf } from './node-reason.js';
import { RecentEvents } from './recent-events.js';
import { Timeline } from './timeline.js';

/** Said of a release or of what stays as it is; no state is entered for them. */
const withoutTransition: readonly TransitionReason[] = [
  'master_heard',
  'holder_leased',
  'log_unproven',
  'undrained',
  'configuration_differs',
  'dataplane_lost',
];

const moves = vrStates.flatMap((to) => reasonsFor[to].map((reason) => ({ to, reason })));

const moved = (to: string, reason: string): ObservationEvent =>
  observation('r1', { type: 'transition', from: 'backup', to, reason }, { vr: 'gw', term: 7 });

describe('every reason is one word everywhere', () => {
  it('and is a reason of a transition, or known to be none', () => {
    const used = new Set(moves.map(({ reason }) => reason));
    expect(transitionReasons.filter((reason) => !used.has(reason))).toEqual(withoutTransition);
  });

  it.each(transitionReasons)('%s in the log, as it was given', (reason) => {
    const decoded = decodeEvent(encodeEvent(moved('master', reason)));
    expect(decoded.ok && decoded.event.payload).toMatchObject({ type: 'transition', reason });
  });

  it('in metrics, counted from 0 on', async () => {
    const metrics = createMetrics({ version: '1', commit: 'c' }, metricWords());
    const place = { name: 'gw', id: 51, protocol: 'vrrp3', interface: 'eth1', virtualMac: '', priority: 1, vips: [] };
    metrics.declareVr(place);
    const text = await metrics.text();
    for (const { to, reason } of moves) {
      expect(text).toContain(`koi_transitions_total{vr="gw",to="${to}",reason="${reason}"} 0\n`);
    }
    const series = [...text.matchAll(/^koi_transitions_total\{.*reason="(\w+)"\}/gm)].map(([, reason]) => reason);
    expect(series.filter((reason) => !transitionReasons.includes(reason as TransitionReason))).toEqual([]);
  });

  it('in the timeline, as it stands in the log', async () => {
    const timers = new ManualTimers(1_700_000_000_000);
    const log = new MemoryLogServer(logNames('edge'), timers).connect();
    for (const reason of transitionReasons) void log.append(moved('master', reason), { deadlineMs: 50 });
    await timers.advance(50);
    const timeline = new Timeline({
      log,
      recent: new RecentEvents(),
      trouble: () => undefined,
      now: () => timers.nowMs(),
    });
    const { entries } = await timeline.read({ vr: undefined, sinceMs: undefined, limit: 1000 });
    const lines = entries.map((entry) => formatEntry(entry, paint({ isTTY: false })));
    expect(lines).toHaveLength(transitionReasons.length);
    transitionReasons.forEach((reason, index) => {
      expect(lines[index]).toMatch(new RegExp(`  gw r1 backup → master term 7: ${reason}$`));
    });
  });

  it('in the status as a word, and beside it as a sentence of its own', () => {
    const sentences = transitionReasons.map(explainReason);
    expect(new Set(sentences).size).toBe(transitionReasons.length);
    for (const reason of transitionReasons) expect(sentenceOf(reason)).toBe(explainReason(reason));
    // What a newer node writes stays the word it wrote.
    expect(sentenceOf('of_the_future')).toBe('of_the_future');
  });
});
