import { expect, it } from 'vitest';
import { parseVirtualAddress, sameIpv4Network } from './address.js';
import { parseListen, serverUrlFault } from './listen.js';

it('reads both families, with and without a prefix length, in canonical form', () => {
  const read = (text: string) => {
    const parsed = parseVirtualAddress(text);
    return parsed.ok ? `${parsed.value.address}/${parsed.value.prefixLength}` : parsed.message;
  };
  expect(read('10.77.0.254/24')).toBe('10.77.0.254/24');
  expect(read('10.77.0.254')).toBe('10.77.0.254/32');
  expect(read('2001:DB8:0:0::254/64')).toBe('2001:db8::254/64');
  expect(read('fe80::1')).toBe('fe80::1/128');
  expect(read('10.0.0.0/31')).toBe('10.0.0.0/31');
});

it.each([
  ['10.77.0.254/33', 'prefix length'],
  ['10.77.0.254/0', 'prefix length'],
  ['10.77.0.254/', 'prefix length'],
  ['10.77.0.254/024', 'prefix length'],
  ['10.77.0.254/24/24', 'not an IP address'],
  ['10.77.0', 'not an IP address'],
  ['010.77.0.1', 'not an IP address'],
  ['fe80::1%eth0', 'not an IP address'],
  ['gw.example', 'not an IP address'],
  ['10.77.0.0/24', 'network address'],
  ['10.77.0.255/24', 'broadcast address'],
  ['224.0.0.18/32', 'multicast'],
  ['127.0.0.1', 'loopback'],
  ['0.0.0.0', 'unspecified'],
  ['255.255.255.255', 'broadcast'],
  ['::/64', 'unspecified'],
  ['::1', 'loopback'],
  ['ff02::12', 'multicast'],
  ['::ffff:10.0.0.1', 'IPv4 address in IPv6 form'],
  ['2001:db8::/64', 'anycast address of all routers of its /64'],
])('refuses %s: %s', (text, why) => {
  const parsed = parseVirtualAddress(text);
  expect(parsed.ok ? 'accepted' : parsed.message).toContain(why);
});

it('compares networks beyond the sign bit of a 32-bit number', () => {
  expect(sameIpv4Network('192.168.1.1', '192.168.1.254', 24)).toBe(true);
  expect(sameIpv4Network('192.168.1.1', '192.168.2.1', 24)).toBe(false);
  expect(sameIpv4Network('10.0.0.1', '223.0.0.1', 0)).toBe(true);
});

it.each([
  ['127.0.0.1:9650', { host: '127.0.0.1', port: 9650 }],
  ['[::1]:9650', { host: '::1', port: 9650 }],
  [':9650', { host: '::', port: 9650 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['9650', undefined],
  ['127.0.0.1', undefined],
  ['127.0.0.1:', undefined],
  ['127.0.0.1:65536', undefined],
  ['127.0.0.1:96a', undefined],
  ['127.0.0:9650', undefined],
  ['::1:9650', undefined],
  ['[127.0.0.1]:9650', undefined],
  ['http://127.0.0.1:9650', undefined],
])('reads the listening address %s', (text, listen) => {
  expect(parseListen(text)).toEqual(listen);
});

it('names what is wrong with a server URL, and never repeats a password in it', () => {
  expect(serverUrlFault('nats://10.99.0.9:4222')).toBeUndefined();
  expect(serverUrlFault('tls://nats.example')).toBeUndefined();
  expect(serverUrlFault('10.99.0.9:4222')?.message).toContain('not a server URL');
  expect(serverUrlFault('http://10.99.0.9')?.message).toContain("scheme 'http'");
  expect(serverUrlFault('nats://10.99.0.9:4222/x')?.message).toContain('after the port');
  for (const url of ['nats://me:hush@host:4222', 'nats://me:hush@host:99999', 'http://me:hush@host']) {
    expect(serverUrlFault(url)?.message).toBeTruthy();
    expect(serverUrlFault(url)?.message).not.toContain('hush');
  }
});
