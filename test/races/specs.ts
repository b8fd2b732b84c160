import type { AttachSpec } from '../../src/attach/attachment.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { specOf } from '../attach/host.js';

const route = {
  destination: { address: '10.99.0.0', prefixLength: 24 },
  via: undefined,
  source: undefined,
  table: undefined,
  metric: undefined,
  behindOthers: false,
};

export const vip4 = '10.77.0.251';
export const vip6 = 'fd77::251';
export const ipv4: AttachSpec = { ...specOf(51, [vip4]), routes: [route] };
export const ipv6: AttachSpec = { ...specOf(61, [vip6]), virtualMac: vrrpVirtualMac(6, 61) };
/** Everything that an attach can have to do. */
export const bothFamilies: AttachSpec = { ...ipv4, addresses: [vip4, vip6] };

export const duplicates = (): Promise<string> => Promise.resolve('nobody else has it');
