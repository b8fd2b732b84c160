import { describe, expect, it } from 'vitest';
import type { DrainProgress } from '../agent/drain-desk.js';
import { KoiError } from '../koi-error.js';
import { drainThroughRestarts } from './drain.js';

const away = new KoiError('unreachable', 'nobody listens');
const settled = { dataplane: { up: true }, log: { connected: true } };
const done: DrainProgress = { drained: true, since: 'then', done: true, vrs: [] };
const asked = { force: false, untilRestart: true };

/** An agent that answers each question with what is next for it, and with the last for good. */
function agent(answers: Readonly<Record<string, readonly unknown[]>>) {
  const asks: string[] = [];
  const left = new Map(Object.entries(answers).map(([path, list]) => [path, [...list]]));
  const answer = (path: string): Promise<never> => {
    asks.push(path.replace('/api/v1/', ''));
    const list = left.get(path) ?? [];
    const next = list.length > 1 ? list.shift() : list[0];
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next as never);
  };
  return { asks, client: { get: answer, post: answer } };
}
const drain = (client: ReturnType<typeof agent>['client'], forMs = 3_000) =>
  drainThroughRestarts(client, asked, performance.now() + forMs, () => undefined);

describe('a drain until the dataplane restarts', () => {
  it('waits for an agent that is away, until it knows its dataplane and the log', async () => {
    const { asks, client } = agent({
      '/api/v1/status': [
        away,
        away,
        { ...settled, dataplane: { up: false } },
        { ...settled, log: { connected: false } },
        settled,
      ],
      '/api/v1/drain': [done],
    });
    expect(await drain(client)).toEqual(done);
    expect(asks).toEqual(['status', 'status', 'status', 'status', 'status', 'drain']);
  });

  it('is asked for again where the agent restarts in the middle, and knows nothing of it', async () => {
    const { asks, client } = agent({
      '/api/v1/status': [settled],
      '/api/v1/drain': [{ ...done, done: false }, { ...done, done: false }, done],
      '/api/v1/drain/progress': [away, { ...done, drained: false }],
    });
    expect(await drain(client)).toEqual(done);
    expect(asks.filter((path) => path === 'drain').length).toBe(3);
  });

  it('says so where the agent stays away', async () => {
    const { client } = agent({ '/api/v1/status': [away] });
    await expect(drain(client, 300)).rejects.toThrow('nobody listens');
  });

  it('goes on without the log, which may be away for longer', { timeout: 10_000 }, async () => {
    const { client } = agent({
      '/api/v1/status': [{ ...settled, log: { connected: false } }],
      '/api/v1/drain': [done],
    });
    expect(await drain(client, 500)).toEqual(done);
  });

  it('throws at once what waiting does not mend', async () => {
    const { asks, client } = agent({ '/api/v1/status': [new KoiError('privilege', 'no permission')] });
    await expect(drain(client)).rejects.toThrow('no permission');
    expect(asks.length).toBe(1);
  });
});
