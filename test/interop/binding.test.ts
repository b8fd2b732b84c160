import { expect, test } from 'vitest';
import { advertFault, bindingOf, describeFrame } from './binding.js';

const frame = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');

test("a gratuitous ARP binds its sender's address", () => {
  const arp = frame(`ffffffffffff 00005e000133 0806 0001 0800 06 04 0001
                     00005e000133 0a4d00fe ffffffffffff 0a4d00fe`);
  expect(bindingOf(arp)).toEqual({
    address: '10.77.0.254',
    mac: '00:00:5e:00:01:33',
    etherSource: '00:00:5e:00:01:33',
    how: 'arp',
  });
  expect(describeFrame(arp)).toBe('00:00:5e:00:01:33 arp 1 10.77.0.254 is at 00:00:5e:00:01:33, to 10.77.0.254');
});

test('an ARP that names another MAC than it comes from shows both', () => {
  const arp = frame(`ffffffffffff 020000000001 0806 0001 0800 06 04 0002
                     00005e000133 0a4d00fe ffffffffffff 0a4d00fe`);
  expect(bindingOf(arp)).toMatchObject({ mac: '00:00:5e:00:01:33', etherSource: '02:00:00:00:00:01' });
});

test("keepalived's captured advert binds nothing, and reads as what it is", () => {
  const advert = frame(`01005e000012 00005e000133 0800 45c00020 00010000 ff70 d04c 0a4d0001 e0000012
                        313364010064743f0a4d00fe`);
  expect(bindingOf(advert)).toBeUndefined();
  expect(describeFrame(advert)).toBe(
    '00:00:5e:00:01:33 10.77.0.1 > 224.0.0.18 ttl 255 vrrp id 51 v3 prio 100 1000 ms pseudo-header 10.77.0.254',
  );
});

test('an advert is judged by its source, its TTL and its checksum', () => {
  const advert = (source: string, ttl: string, ipChecksum: string, payload: string) =>
    frame(`01005e000012 ${source} 0800 45c00020 00010000 ${ttl}70 ${ipChecksum} 0a4d0001 e0000012 ${payload}`);
  const judge = (bytes: Uint8Array) => advertFault(bytes, '00:00:5e:00:01:33', false);
  const payload = '313364010064743f0a4d00fe';
  expect(judge(advert('00005e000133', 'ff', 'd04c', payload))).toBeUndefined();
  expect(judge(advert('020000000001', 'ff', 'd04c', payload))).toBe('it comes from 02:00:00:00:00:01');
  expect(judge(advert('00005e000133', 'fe', 'd14c', payload))).toBe('its TTL is 254');
  expect(judge(advert('00005e000133', 'ff', 'd04c', payload.replace('743f', '743e')))).toBe('bad_checksum');
});
