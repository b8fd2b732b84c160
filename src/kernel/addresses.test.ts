import { describe, expect, it } from 'vitest';
import { AddressRenewals, parseAddressMessage } from './addresses.js';
import type { Netlink } from './netlink.js';
import { forEachMessage } from './netlink-message.js';

/** What was sent, one list of addresses for each request. */
function recorder() {
  const requests: string[][] = [];
  const tell: Netlink['tell'] = (messages) => {
    const addresses: string[] = [];
    for (const bytes of messages) {
      forEachMessage(bytes, 0, bytes.length, (message) => {
        const found = parseAddressMessage(message);
        addresses.push(`${found?.address} on ${found?.ifindex} for ${found?.validSeconds} s`);
      });
    }
    requests.push(addresses);
  };
  return { netlink: { tell } as Netlink, requests };
}

describe('renewals of many interfaces', () => {
  it('are one request for each network namespace, and are sent once', () => {
    const [host, container] = [recorder(), recorder()];
    const renewals = new AddressRenewals();
    const spec = { prefixLength: 32, proto: 112, validSeconds: 2 };
    renewals.put(host.netlink, [{ ...spec, ifindex: 4, address: '10.77.0.4' }]);
    renewals.put(container.netlink, [{ ...spec, ifindex: 4, address: '10.78.0.4' }]);
    renewals.put(host.netlink, [{ ...spec, ifindex: 5, address: '2001:db8::5', prefixLength: 128 }]);
    expect([host.requests, container.requests]).toEqual([[], []]);
    renewals.send();
    renewals.send();
    expect(host.requests).toEqual([['10.77.0.4 on 4 for 2 s', '2001:db8::5 on 5 for 2 s']]);
    expect(container.requests).toEqual([['10.78.0.4 on 4 for 2 s']]);
  });
});
