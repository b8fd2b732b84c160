import { familyOf } from '../../src/wire/address.js';
import { arpProbe } from '../../src/wire/arp.js';
import type { MacAddress } from '../../src/wire/mac.js';
import { neighborSolicitation } from '../../src/wire/ndp.js';
import type { Site } from '../placement/site.js';
import { Injector } from './injector.js';

const requestsPerSecond = 1000;
const sources = { 4: '10.77.0.100', 6: 'fd77::100' } as const;

/** The client asks for an address all the time while `act` goes on, a thousand times a second. @returns how often it has asked */
export async function asking(site: Site, address: string, act: () => unknown): Promise<number> {
  const link = JSON.parse(site.ip('client', '-j link show dev eth1')) as [{ address: string }];
  const family = familyOf(address);
  const from = {
    senderMac: link[0].address as MacAddress,
    senderAddress: sources[family],
    targetAddress: address,
  };
  const request = family === 4 ? arpProbe(from) : neighborSolicitation(from);
  const injector = await Injector.begin(site.netns('client'));
  let asked = 0;
  let isOver = false;
  const flood = (async () => {
    while (!isOver) asked += await injector.send(request, requestsPerSecond / 10, requestsPerSecond);
  })();
  try {
    await act();
  } finally {
    isOver = true;
    await flood;
    injector.end();
  }
  return asked;
}
