import { expect, it } from 'vitest';
import type { HostInterface } from './host-checks.js';
import { readHostView } from './host-view.js';
import { parseConfig } from './load.js';

const text = `cluster: edge
node: r1
lanKeyFile: /k
log: {servers: [nats://10.99.0.9:4222]}
virtualRouters:
  - {name: gw, interface: eth1, id: 51, addresses: [10.77.0.254/24]}
`;

function judge(interfaces: readonly Partial<HostInterface>[], of = text) {
  const host = {
    interfaces: interfaces.map((each) => ({ name: '', mac: undefined, addresses: [], ofKoi: false, ...each })),
  };
  const parsed = parseConfig(of, { environment: {}, host });
  const show = ({ path, line, message }: { path: string; line: number | undefined; message: string }): string =>
    `${path}@${line}: ${message}`;
  return { errors: parsed.ok ? [] : parsed.errors.map(show), warnings: parsed.warnings.map(show) };
}

const address = (of: string, prefixLength = 24) => ({ address: of, prefixLength });

it('finds nothing where the parent has an address of the same network', () => {
  expect(judge([{ name: 'eth1', addresses: [address('10.77.0.1')] }])).toEqual({ errors: [], warnings: [] });
});

it('waits for an absent parent, with a warning', () => {
  expect(judge([{ name: 'eth0' }])).toEqual({
    errors: [],
    warnings: ["virtualRouters[0].interface@6: there is no interface with the name 'eth1' now"],
  });
});

it("refuses a virtual IP that is the parent's own address", () => {
  const { errors } = judge([{ name: 'eth1', addresses: [address('10.77.0.1'), address('10.77.0.254')] }]);
  expect(errors).toEqual([
    'virtualRouters[0].addresses[0]@6: 10.77.0.254 is already an address of eth1 itself, which would answer with its own MAC',
  ]);
});

it('allows it on the link that koi made, and warns of it elsewhere', () => {
  const parent = { name: 'eth1', addresses: [address('10.77.0.1')] };
  const holder = { addresses: [address('10.77.0.254', 32)] };
  expect(judge([parent, { name: 'koi51', ofKoi: true, ...holder }])).toEqual({ errors: [], warnings: [] });
  expect(judge([parent, { name: 'lo', ...holder }]).warnings).toEqual([
    'virtualRouters[0].addresses[0]@6: 10.77.0.254 is an address of lo',
  ]);
});

it('warns of a parent without an address, and of a virtual IP outside its networks', () => {
  expect(judge([{ name: 'eth1' }]).warnings).toEqual([
    'virtualRouters[0].interface@6: eth1 has no IPv4 address of its own to send adverts from',
  ]);
  expect(judge([{ name: 'eth1', addresses: [address('192.168.0.1')] }]).warnings).toEqual([
    'virtualRouters[0].addresses[0]@6: 10.77.0.254 is in no network of eth1',
  ]);
});

it('sees this machine', () => {
  const loopback = readHostView().interfaces.find(({ name }) => name === 'lo');
  expect(loopback).toMatchObject({ ofKoi: false, mac: '00:00:00:00:00:00' });
});

it('lets every link have its own link-local gateway, and warns of a parent without an address to send from', () => {
  const six = text.replace('10.77.0.254/24', '"fe80::1/64"');
  const parent = { name: 'eth1', addresses: [address('fe80::5054:1', 64)] };
  expect(judge([parent, { name: 'eth2', addresses: [address('fe80::1', 64)] }], six)).toEqual({
    errors: [],
    warnings: [],
  });
  expect(
    judge(
      [
        { name: 'eth2', addresses: [address('fe80::1', 64)] },
        { ...parent, addresses: [address('fe80::1', 64)] },
      ],
      six,
    ).errors,
  ).toEqual([
    'virtualRouters[0].addresses[0]@6: fe80::1 is already an address of eth1 itself, which would answer with its own MAC',
  ]);
  expect(judge([{ name: 'eth1', addresses: [address('2001:db8::1', 64)] }], six).warnings).toEqual([
    'virtualRouters[0].interface@6: eth1 has no IPv6 link-local address to send adverts from',
  ]);
});
