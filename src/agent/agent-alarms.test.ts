import { beforeEach, describe, expect, it } from 'vitest';
import { emptyLogState } from '../log/projection.js';
import { AgentAlarms } from './agent-alarms.js';
import { EpisodeDesk } from './episode-desk.js';

let episodes: EpisodeDesk;
let told: unknown[];
let counted: string[];
let said: string[];
let alarms: AgentAlarms;

beforeEach(() => {
  [episodes, told, counted, said] = [new EpisodeDesk(), [], [], []];
  const line =
    (level: string) =>
    (_: object, what?: string): void =>
      void said.push(`${level}: ${what}`);
  alarms = new AgentAlarms({
    episodes,
    journal: { observe: ({ type, ...rest }, _, about) => told.push([type, { ...rest, ...about }]) },
    metrics: { splitBrainInLog: (vr) => counted.push(vr) },
    log: { info: line('info'), warn: line('warn'), error: line('error') },
    wallNow: () => 1_700_000_000_000,
  });
});

const open = (): unknown[] => episodes.report('r1', emptyLogState).map(({ kind, vr, subject }) => [kind, vr, subject]);

describe('an alarm of the agent', () => {
  it('of two masters in the log is open until one is left, and counted', () => {
    const found = { nodes: ['r1', 'r2'], evidence: [{ key: 'source', value: 'log' }] };
    alarms.twoMastersInLog('gw', found);
    expect(open()).toEqual([['split_brain', 'gw', 'log']]);
    alarms.noMoreTwoMastersInLog('gw', found, 1234.5);
    expect([open(), counted]).toEqual([[], ['gw']]);
    const about = { kind: 'split_brain', subject: 'log', vr: 'gw' };
    expect(told).toEqual([
      ['episodeBegan', { ...about, evidence: found.evidence }],
      ['episodeEnded', { ...about, durationMs: 1235, reason: 'no more: r1, r2' }],
    ]);
  });

  it('of one that held together with this node is over when it is known', () => {
    alarms.heldTogether({ vr: 'gw', rival: 'r2', togetherMs: 250.4, fromMs: 1_700_000_000_000 });
    expect([open(), counted]).toEqual([[], ['gw']]);
    expect(told).toMatchObject([
      ['episodeBegan', { subject: 'r2' }],
      ['episodeEnded', { subject: 'r2', durationMs: 250 }],
    ]);
  });

  it('of another configuration says in what', () => {
    alarms.configurationDiffers('gw', 'addresses');
    expect(open()).toEqual([['configuration_differs', 'gw', '']]);
    alarms.configurationDiffers('gw', undefined);
    expect(open()).toEqual([]);
    expect(told).toMatchObject([
      ['episodeBegan', { evidence: [{ key: 'difference', value: 'addresses' }] }],
      ['episodeEnded', { durationMs: 0, reason: 'agreed' }],
    ]);
    expect(said.map((each) => each.split(':')[0])).toEqual(['warn', 'info']);
  });

  it('of this node’s nats-server is of no virtual router', () => {
    alarms.logServerDown('exit 1');
    expect(open()).toEqual([['log_server_down', null, '']]);
    alarms.logServerUp(80.2);
    expect(open()).toEqual([]);
    expect(told).toEqual([
      ['episodeBegan', { kind: 'log_server_down', subject: '', evidence: [{ key: 'why', value: 'exit 1' }] }],
      ['episodeEnded', { kind: 'log_server_down', subject: '', durationMs: 80, reason: 'it serves again' }],
    ]);
  });
});
