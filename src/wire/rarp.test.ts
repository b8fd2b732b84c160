import { expect, test } from 'vitest';
import { vrrpVirtualMac } from './mac.js';
import { macRefreshFrame } from './rarp.js';

test('the frame is what QEMU sends: a reverse request of the MAC for itself, without any address', () => {
  const hex = Buffer.from(macRefreshFrame(vrrpVirtualMac(4, 51))).toString('hex');
  const [mac, nobody] = ['00005e000133', '00000000'];
  expect(hex).toBe(`ffffffffffff${mac}8035${'0001080006040003'}${mac}${nobody}${mac}${nobody}${'00'.repeat(18)}`);
});
