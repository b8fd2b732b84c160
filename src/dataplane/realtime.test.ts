import { expect, it } from 'vitest';
import type { KoiConfig } from '../config/config.js';
import type { ErrnoName } from '../kernel/errno.js';
import { putInForce } from './realtime.js';

/** What is asked of the kernel, and said, where it refuses as given. */
function asked(realtime: KoiConfig['realtime'], refuses: { priority?: ErrnoName; memory?: ErrnoName } = {}): string[] {
  const said: string[] = [];
  const note = (what: string, refusal: ErrnoName | undefined) => {
    said.push(what);
    return refusal;
  };
  putInForce(realtime, {
    prioritizeAdverts: (priority) => note(`adverts ${priority}`, refuses.priority),
    prioritizeLoop: (priority) => note(`loop ${priority}`, refuses.priority),
    lockMemory: () => note('lock', refuses.memory),
    warn: (reason, message) => void said.push(`${reason}: ${message}`),
  });
  return said;
}

const unasked = { priority: undefined, lockMemory: false };

it('prefers the thread that sends adverts where nothing is said, and says nothing where that is not allowed', () => {
  expect(asked(unasked)).toEqual(['adverts 1']);
  expect(asked(unasked, { priority: 'EPERM', memory: 'EPERM' })).toEqual(['adverts 1']);
});

it('has the event loop come right after that thread, where a priority is asked for', () => {
  expect(asked({ ...unasked, priority: 20 })).toEqual(['adverts 20', 'loop 19']);
  expect(asked({ ...unasked, priority: 1 })).toEqual(['adverts 1', 'loop 1']);
  expect(asked({ ...unasked, priority: 0 })).toEqual(['adverts 0']);
});

it('says what is not in force, and what allows it', () => {
  expect(asked({ ...unasked, priority: 5 }, { priority: 'EPERM' }).at(-1)).toMatch(/^EPERM: .*LimitRTPRIO=5/);
  expect(asked({ ...unasked, lockMemory: true }, { memory: 'ENOMEM' })).toEqual([
    'adverts 1',
    'lock',
    expect.stringMatching(/^ENOMEM: .*LimitMEMLOCK/),
  ]);
});
