import pino from 'pino';
import { describe, expect, it } from 'vitest';
import type { HooksConfig } from '../config/config.js';
import { Hooks } from './hooks.js';
import type { CommandOrder } from './track/command.js';
import type { Ran } from './track/runner-link.js';

const config: HooksConfig = {
  preAttach: ['/h/pre-attach', 'now'],
  postMaster: ['/h/post-master'],
  preRelease: ['/h/pre-release'],
  postRelease: undefined,
  timeoutMs: 50,
  user: undefined,
  onFailure: 'continue',
};
const context = { state: 'candidate', reason: 'master_silent', term: 7 };
const good: Ran = { outcome: { kind: 'exited', code: 0 }, output: '', durationMs: 1 };
const bad: Ran = { ...good, outcome: { kind: 'exited', code: 3 } };

/** Commands that end when the test says so. */
class Commands {
  readonly orders: CommandOrder[] = [];
  readonly #ends: ((ran: Ran) => void)[] = [];

  run = (order: CommandOrder): Promise<Ran> => {
    this.orders.push(order);
    return new Promise((resolve) => this.#ends.push(resolve));
  };

  async end(ran: Ran): Promise<void> {
    this.#ends.shift()?.(ran);
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }

  names(): (string | undefined)[] {
    return this.orders.map(({ environment }) => environment.KOI_HOOK);
  }
}

function hooks(over: Partial<HooksConfig> = {}) {
  const commands = new Commands();
  const log = pino({ level: 'silent' });
  return {
    commands,
    hooks: new Hooks({
      vr: 'gw',
      node: 'r1',
      config: { ...config, ...over },
      run: commands.run,
      log,
      context: () => context,
    }),
  };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('hooks', () => {
  it('are told what happens, by environment and not by arguments', async () => {
    const { commands, hooks: all } = hooks({ user: 'ops' });
    void all.preAttach();
    await settle();
    expect(commands.orders).toEqual([
      {
        command: ['/h/pre-attach', 'now'],
        user: 'ops',
        timeoutMs: 50,
        environment: {
          KOI_VR: 'gw',
          KOI_NODE: 'r1',
          KOI_HOOK: 'preAttach',
          KOI_STATE: 'candidate',
          KOI_REASON: 'master_silent',
          KOI_TERM: '7',
        },
      },
    ]);
  });

  it('run one at a time and in order', async () => {
    const { commands, hooks: all } = hooks();
    void all.preAttach();
    all.start('postMaster');
    all.start('preRelease');
    all.start('postRelease');
    await settle();
    expect(commands.names()).toEqual(['preAttach']);
    await commands.end(good);
    expect(commands.names()).toEqual(['preAttach', 'postMaster']);
    await commands.end(bad);
    expect(commands.names()).toEqual(['preAttach', 'postMaster', 'preRelease']);
  });

  it('hold a takeover up until they end; a failure counts only where it shall', async () => {
    for (const [onFailure, ran, isThrown] of [
      ['continue', good, false],
      ['continue', bad, false],
      ['abort', good, false],
      ['abort', bad, true],
    ] as const) {
      const { commands, hooks: all } = hooks({ onFailure });
      let ended: string | undefined;
      all.preAttach().then(
        () => (ended = 'went on'),
        (error: Error) => (ended = error.message),
      );
      await settle();
      expect(ended).toBeUndefined();
      await commands.end(ran);
      expect(ended).toBe(isThrown ? 'gw: the hook preAttach failed: it exited with 3' : 'went on');
    }
  });

  it('have their time from the asking, whatever runs before them', async () => {
    const { commands, hooks: all } = hooks({ onFailure: 'abort' });
    all.start('postMaster');
    const startedMs = performance.now();
    await expect(all.preAttach()).rejects.toThrow('it had not ended after 50 ms');
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(commands.names()).toEqual(['postMaster']);
  });

  it('that pile up are left out', async () => {
    const { commands, hooks: all } = hooks();
    for (let count = 0; count < 20; count++) all.start('postMaster');
    for (let count = 0; count < 20; count++) await commands.end(good);
    expect(commands.orders).toHaveLength(8);
    all.start('postMaster');
    await settle();
    expect(commands.orders).toHaveLength(9);
  });

  it('that are not there take no time', async () => {
    const log = pino({ level: 'silent' });
    const none = new Hooks({
      vr: 'gw',
      node: 'r1',
      config: undefined,
      run: () => Promise.reject(new Error()),
      log,
      context: () => context,
    });
    await none.preAttach();
    await none.preRelease('shutdown');
    expect(none.has('preAttach')).toBe(false);
  });
});
