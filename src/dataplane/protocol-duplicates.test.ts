import { expect, it } from 'vitest';
import { demuxFrame } from '../wire/demux.js';
import { type MacAddress, vrrpVirtualMac } from '../wire/mac.js';
import { unsolicitedNeighborAdvertisement } from '../wire/ndp.js';
import { DuplicateProbe } from './protocol-duplicates.js';

const virtualMac = vrrpVirtualMac(6, 51);
const parentMac = '02:00:00:00:00:01' as MacAddress;
const foreignMac = '02:00:00:00:00:99' as MacAddress;
const address = '2001:db8::254';

const answer = (mac: MacAddress, target = address) =>
  demuxFrame(unsolicitedNeighborAdvertisement({ virtualMac: mac, address: target, router: false }));

/** A probe on a link where `answers` come in while it waits. */
function probe(answers: readonly MacAddress[] = []) {
  const sent: Uint8Array[] = [];
  const late: string[] = [];
  const subject: DuplicateProbe = new DuplicateProbe({
    vr: 'gw',
    virtualMacs: new Set([virtualMac]),
    send: (frames) => sent.push(...frames),
    pause: () => {
      for (const mac of answers) subject.heard(answer(mac));
      return Promise.resolve();
    },
    onLate: (duplicate, mac) => late.push(`${duplicate} ${mac}`),
  });
  return { subject, sent, late };
}

it('asks from no address, with the MAC of the parent: it binds nothing and moves no switch port', async () => {
  const { subject, sent } = probe();
  await subject.check([address], parentMac, true);
  expect(sent.map(demuxFrame)).toMatchObject([
    {
      kind: 'ndp',
      etherSource: parentMac,
      etherDestination: '33:33:ff:00:02:54',
      source: '::',
      message: { type: 'solicitation', target: address, linkLayerAddress: undefined },
    },
  ]);
});

it('finds a host that has the address, and says who and what to do', async () => {
  const { subject } = probe([virtualMac, foreignMac]);
  await expect(subject.check([address], parentMac, true)).rejects.toThrow(
    `${foreignMac} answers for ${address}, which is not this virtual router's MAC`,
  );
});

it('takes an answer with the virtual MAC for the former master', async () => {
  const { subject } = probe([virtualMac]);
  await expect(subject.check([address], parentMac, true)).resolves.toContain('nobody else answered');
});

it('waits for nobody where the address moves, and tells of those who answer later', async () => {
  const { subject, late } = probe([foreignMac]);
  await expect(subject.check([address], parentMac, false)).resolves.toContain('known master');
  subject.heard(answer(foreignMac, '2001:db8::1'));
  expect(late).toEqual([]);
  subject.heard(answer(foreignMac));
  expect(late).toEqual([`${address} ${foreignMac}`]);
});
