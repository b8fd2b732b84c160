import { describe, expect, it } from 'vitest';
import { kernelDifferences } from './kernel-state.js';

describe('the difference of two kernel states', () => {
  it('names what is new, gone and changed, and nothing else', () => {
    const before = new Map([
      ['link eth1', 'a'],
      ['sysctl ipv4/conf/eth1/arp_ignore', '0'],
      ['address 10.77.0.1 on eth1', 'x'],
    ]);
    const after = new Map([
      ['link eth1', 'a'],
      ['sysctl ipv4/conf/eth1/arp_ignore', '1'],
      ['link koi51', 'b'],
    ]);
    expect(kernelDifferences(before, after)).toEqual([
      'sysctl ipv4/conf/eth1/arp_ignore was 0, is 1',
      'address 10.77.0.1 on eth1 is gone',
      'link koi51 is new: b',
    ]);
    expect(kernelDifferences(before, before)).toEqual([]);
  });
});
