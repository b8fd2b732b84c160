import { expect, it } from 'vitest';
import { presentAddresses } from './gone-addresses.js';

it('tells which addresses this host still has, in the order asked', () => {
  expect(presentAddresses(['192.0.2.1', '127.0.0.1', '2001:db8::1'])).toEqual(['127.0.0.1']);
  expect(presentAddresses([])).toEqual([]);
});
