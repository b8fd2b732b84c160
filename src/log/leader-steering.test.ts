import { describe, expect, it } from 'vitest';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { chooseLeader, LeaderSteering, type StreamLeadership } from './leader-steering.js';

const follower = (name: string, change: Partial<StreamLeadership['followers'][number]> = {}) => ({
  name,
  current: true,
  offline: false,
  ...change,
});
const led = (leader: string | undefined, ...followers: StreamLeadership['followers']): StreamLeadership => ({
  stream: 'KOI',
  leader,
  followers,
});
const set = (...names: string[]): ReadonlySet<string> => new Set(names);

describe('the better leader', () => {
  const three = led('r1', follower('r2'), follower('w'));

  it('is the witness, before a node that owns nothing, before none', () => {
    expect(chooseLeader(three, 'r1', set('r1'), set('r1', 'r2'))).toBe('w');
    expect(chooseLeader(led('r1', follower('r3'), follower('r2')), 'r1', set('r1'), set('r1', 'r2', 'r3'))).toBe('r2');
    expect(chooseLeader(led('r1', follower('r3'), follower('r2')), 'r1', set('r1', 'r2'), set('r1', 'r2', 'r3'))).toBe(
      'r3',
    );
    expect(
      chooseLeader(led('r1', follower('r3'), follower('r2')), 'r1', set('r1', 'r2', 'r3'), set('r1', 'r2', 'r3')),
    ).toBeUndefined();
  });

  it('is left where it is while another leads, or nobody', () => {
    expect(chooseLeader(led('r2', follower('r1'), follower('w')), 'r1', set('r1'), set())).toBeUndefined();
    expect(chooseLeader(led(undefined, follower('r1'), follower('w')), 'r1', set('r1'), set())).toBeUndefined();
  });

  it('is not looked for where the log would not outlive this node', () => {
    for (const state of [{ offline: true }, { current: false }]) {
      expect(chooseLeader(led('r1', follower('r2', state), follower('w')), 'r1', set('r1'), set())).toBeUndefined();
    }
    expect(chooseLeader(led('r1', follower('r2')), 'r1', set('r1'), set())).toBeUndefined();
    expect(chooseLeader(led('r1'), 'r1', set('r1'), set())).toBeUndefined();
  });

  it('may be one of those that are left of five', () => {
    const five = led('r1', follower('a', { offline: true }), follower('b'), follower('c'), follower('d'));
    expect(chooseLeader(five, 'r1', set('r1'), set('r1', 'b', 'c'))).toBe('d');
  });
});

describe('steering', () => {
  it('moves one stream at a time, each at most once a minute, and only in a quiet moment', async () => {
    const timers = new ManualTimers();
    const moves: string[] = [];
    let quiet = true;
    const stream = (name: string) => ({
      name,
      leadership: async () => led('r1', follower('r2'), follower('w')),
      stepDown: async (server: string) => {
        moves.push(`${name} ${server}`);
      },
    });
    const steering = new LeaderSteering({
      streams: [stream('events'), stream('leases')],
      self: 'r1',
      place: () => (quiet ? { busy: set('r1'), nodes: set('r1', 'r2') } : undefined),
      onMoved: () => undefined,
      onTrouble: (_, error) => {
        throw error;
      },
      timers,
    });
    const pass = (ms: number): Promise<void> => timers.advance(ms);
    quiet = false;
    await pass(20_000);
    expect(moves).toEqual([]);
    quiet = true;
    await pass(5_000);
    expect(moves).toEqual(['events w']);
    await pass(5_000);
    expect(moves).toEqual(['events w', 'leases w']);
    await pass(45_000);
    expect(moves).toHaveLength(2);
    await pass(20_000);
    expect(moves).toEqual(['events w', 'leases w', 'events w', 'leases w']);
    steering.stop();
    await pass(200_000);
    expect(moves).toHaveLength(4);
  });

  it('tries again a minute after a failure, and tells of it', async () => {
    const timers = new ManualTimers();
    const troubles: string[] = [];
    const steering = new LeaderSteering({
      streams: [
        {
          name: 'events',
          leadership: async () => led('r1', follower('r2'), follower('w')),
          stepDown: async () => {
            throw new Error('no');
          },
        },
      ],
      self: 'r1',
      place: () => ({ busy: set('r1'), nodes: set() }),
      onMoved: () => undefined,
      onTrouble: (stream, error) => troubles.push(`${stream} ${error.message}`),
      timers,
    });
    await timers.advance(120_000);
    expect(troubles).toEqual(['events no', 'events no']);
    steering.stop();
  });
});
