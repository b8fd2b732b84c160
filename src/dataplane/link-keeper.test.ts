import { expect, it } from 'vitest';
import type { Receipt } from '../attach/receipt.js';
import type { Phase } from '../core/vr-state.js';
import { KoiError } from '../koi-error.js';
import type { MacAddress } from '../wire/mac.js';
import { LinkKeeper } from './link-keeper.js';

const receipts: readonly Receipt[] = [];
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Links of which the test says what becomes of them; what they are asked for, and what the owner hears, in order. */
class Stage {
  readonly happened: string[] = [];
  /** What throws when it is asked for next. */
  readonly failures = new Map<string, Error>();
  readonly timers = new Map<string, { readonly atMs: number; readonly wake: () => void }>();
  phase: Phase['name'] = 'backup';
  holdsAddresses = false;
  isStopped = false;
  /** Ends the attach that is under way. */
  endAttach = (_failure?: Error): void => undefined;

  readonly keeper = new LinkKeeper({
    vr: 'gw',
    addresses: ['192.0.2.1'],
    attachment: {
      attached: false,
      prepare: () => this.#do('prepare'),
      forgetLinks: () => this.#do('forget'),
      attach: () => {
        this.#do('attach');
        return new Promise((resolve, reject) => {
          this.endAttach = (failure) => (failure === undefined ? resolve(receipts) : reject(failure));
        });
      },
      detach: () => this.#do('detach'),
      vacate: () => this.#do('vacate'),
      changeAddresses: async () => this.#do('change'),
      remake: async () => this.#do('remake'),
      destroy: async () => this.#do('destroy'),
    },
    hush: { ended: () => undefined, renew: () => undefined },
    machine: this,
    places: { guardNames: ['gw'], fault: undefined, isOrphaned: false },
    guard: { drop: () => this.#do('drop') },
    news: { tellState: () => this.#do('tell') },
    turns: { take: () => Promise.resolve() },
    scheduler: {
      set: (name, atMs, wake) => {
        if (atMs === undefined) this.timers.delete(name);
        else this.timers.set(name, { atMs, wake: () => wake(atMs, 0) });
      },
    },
    now: () => 0,
    log: { info: () => undefined, error: () => undefined },
    owner: {
      attached: () => this.#do('attached'),
      addressesOff: () => this.#do('off'),
      released: (how) => this.#do(how),
      putBack: (isDone) => this.#do(isDone ? 'put back' : 'not put back'),
    },
  });

  #do(what: string): void {
    this.happened.push(what);
    const failure = this.failures.get(what);
    this.failures.delete(what);
    if (failure !== undefined) throw failure;
  }

  /** What has happened since it was asked for last. */
  get news(): string[] {
    return this.happened.splice(0);
  }
}

it('tells its owner of an attach when all is in place', async () => {
  const stage = new Stage();
  void stage.keeper.attach();
  await settle();
  expect(stage.news).toEqual(['attach']);
  expect(stage.keeper.isWorking).toBe(true);
  stage.endAttach();
  await settle();
  expect(stage.news).toEqual(['attached']);
  expect(stage.keeper.isWorking).toBe(false);
});

it.each([['ends'], ['fails']])('an attach that %s after a release is nobody’s any more', async (how) => {
  const stage = new Stage();
  void stage.keeper.attach();
  await settle();
  stage.keeper.withdraw('detached');
  await settle();
  expect(stage.news).toEqual(['attach', 'detach', 'drop', 'off', 'detached', 'remake', 'prepare']);
  stage.endAttach(how === 'fails' ? new Error('no such device') : undefined);
  await settle();
  expect(stage.news).toEqual([]);
  expect(stage.keeper.problems).toEqual([]);
});

it('an attach that fails is undone, and says why until another succeeds', async () => {
  const stage = new Stage();
  stage.failures.set('prepare', new Error('not now'));
  void stage.keeper.attach();
  await settle();
  stage.endAttach(new Error('step 4: no route'));
  await Promise.resolve();
  await Promise.resolve();
  expect(stage.keeper.problems).toEqual(['step 4: no route']);
  await settle();
  expect(stage.news).toEqual(['attach', 'detach', 'drop', 'off', 'attachFailed', 'remake', 'prepare']);
  void stage.keeper.attach();
  await settle();
  stage.endAttach();
  await settle();
  expect(stage.keeper.problems).toEqual([]);
});

it('tells of a release only when the addresses are off, and tries until they are', async () => {
  const stage = new Stage();
  stage.failures.set('detach', new Error('busy'));
  stage.keeper.withdraw('detached');
  await settle();
  expect(stage.news).toEqual(['detach']);
  // Nobody renews what is to go, or puts it back.
  expect(stage.keeper.isWorking).toBe(true);
  stage.timers.get('detach gw')?.wake();
  await settle();
  expect(stage.news).toEqual(['detach', 'drop', 'off', 'detached', 'remake', 'prepare']);
  expect(stage.keeper.isWorking).toBe(false);
});

it('needs no link any more where it has stopped', async () => {
  const stage = new Stage();
  stage.isStopped = true;
  stage.keeper.withdraw('detached');
  await settle();
  expect(stage.news).toEqual(['detach', 'drop', 'off', 'detached', 'destroy']);
});

it('a link that cannot be made is tried again, soon where another works on the interface, and told of when it is there', () => {
  const stage = new Stage();
  stage.failures.set('prepare', new KoiError('timeout', 'the interface is locked'));
  stage.keeper.placesChanged();
  expect(stage.timers.get('prepare gw')?.atMs).toBe(100);
  stage.failures.set('prepare', new KoiError('kernel', 'no memory'));
  stage.timers.get('prepare gw')?.wake();
  expect(stage.timers.get('prepare gw')?.atMs).toBe(1000);
  expect(stage.keeper.problems).toEqual(['no memory']);
  expect(stage.news).toEqual(['prepare', 'prepare']);
  stage.timers.get('prepare gw')?.wake();
  expect(stage.keeper.problems).toEqual([]);
  expect(stage.news).toEqual(['prepare', 'tell']);
});

it('makes no link beside the addresses that it holds', () => {
  const stage = new Stage();
  stage.failures.set('prepare', new Error('no memory'));
  stage.keeper.placesChanged();
  stage.holdsAddresses = true;
  stage.timers.get('prepare gw')?.wake();
  expect(stage.news).toEqual(['prepare']);
});

it('puts back what somebody took away, or says that it could not', async () => {
  const stage = new Stage();
  void stage.keeper.putBack();
  await settle();
  stage.endAttach();
  await settle();
  expect(stage.news).toEqual(['detach', 'remake', 'attach', 'put back']);
  stage.failures.set('remake', new Error('no such device'));
  void stage.keeper.putBack();
  await settle();
  expect(stage.news).toEqual(['detach', 'remake', 'not put back']);
  expect(stage.keeper.isWorking).toBe(false);
});

it('tells once of another host that has an address', () => {
  const stage = new Stage();
  for (const _ of [1, 2]) stage.keeper.duplicate('2001:db8::1', '02:00:00:00:00:09' as MacAddress);
  expect(stage.news).toEqual(['tell']);
  expect(stage.keeper.problems).toHaveLength(1);
});
