import { expect, it } from 'vitest';
import { Lane } from './lane.js';
import { VirtualTime } from './virtual-time.js';

it('keeps the order of what was sent, whatever was under way when it was blocked', async () => {
  const time = new VirtualTime();
  const delays = [50, 1, 1, 30, 1];
  const lane = new Lane(time, () => delays.shift() ?? 1);
  const arrived: string[] = [];
  lane.send(() => arrived.push('slow'));
  time.at(10, () => lane.block());
  time.at(20, () => lane.send(() => arrived.push('sent while blocked')));
  time.at(100, () => lane.unblock());
  time.at(200, () => lane.send(() => arrived.push('last')));
  await time.run(99, () => true);
  expect(arrived).toEqual([]);
  await time.run(600, () => true);
  expect(arrived).toEqual(['slow', 'sent while blocked', 'last']);
});
