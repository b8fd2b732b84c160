import { expect, it } from 'vitest';
import { didYouMean } from './did-you-mean.js';

const keys = [
  'name',
  'id',
  'priority',
  'advertInterval',
  'addresses',
  'preempt',
  'onLogLoss',
  'interface',
  'credentials',
  'nkey',
];

it.each([
  ['prioritiy', 'priority'],
  ['proirity', 'priority'],
  ['prio', 'priority'],
  ['Priority', 'priority'],
  ['advert_interval', 'advertInterval'],
  ['advert-interval', 'advertInterval'],
  ['adresses', 'addresses'],
  ['onloglos', 'onLogLoss'],
  ['vrid', 'id'],
  ['virtual_ipaddress', 'addresses'],
  ['nmae', 'name'],
  ['credsFile', 'credentials'],
  ['creds', 'credentials'],
  ['credentialsFile', 'credentials'],
  ['nkeyFile', 'nkey'],
])('%s was meant to be %s', (typed, meant) => {
  expect(didYouMean(typed, keys)).toBe(meant);
});

it.each(['x', 'ip', 'colour', 'constructor', ''])('%j resembles nothing', (typed) => {
  expect(didYouMean(typed, keys)).toBeUndefined();
});
