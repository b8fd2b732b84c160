import { carpVirtualMac, vrrpVirtualMac } from '../../src/wire/mac.js';

const vrids = { gw: 51, old: 52, six: 61, single: 62 } as const;
const vhid = 7;
const six = ['fe80::77:254', '2001:db8:77::254'] as const;

/** The virtual routers that the fuzzer aims at. */
export const hostileVips = {
  vrids,
  vhid,
  host: '10.77.0.1',
  /** Of the router that sends to single peers. */
  peer: '10.77.0.2',
  /** Of `gw`, `carp`, `single`, `old`, in this order. */
  four: ['10.77.0.254', '10.77.0.253', '10.77.0.251', '10.77.0.252'],
  six,
  /** Where each is. */
  macs: {
    '10.77.0.254': vrrpVirtualMac(4, vrids.gw),
    '10.77.0.253': carpVirtualMac(vhid),
    '10.77.0.252': vrrpVirtualMac(4, vrids.old),
    '10.77.0.251': vrrpVirtualMac(4, vrids.single),
    [six[0]]: vrrpVirtualMac(6, vrids.six),
    [six[1]]: vrrpVirtualMac(6, vrids.six),
  } as Readonly<Record<string, string>>,
} as const;
