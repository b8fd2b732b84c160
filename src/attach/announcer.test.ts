import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { decodeArp } from '../wire/arp.js';
import { demuxFrame } from '../wire/demux.js';
import { vrrpVirtualMac } from '../wire/mac.js';
import { Announcer, announceRefreshMs, announceScheduleMs, nextAnnouncementMs } from './announcer.js';
import { Attached, grantAttached } from './attached.js';

const virtualMac = vrrpVirtualMac(4, 51);
const addresses = ['10.77.0.254', '10.77.0.253'];

/** An announcer whose socket takes at most `room` frames at a time. */
function announcer(room = Number.POSITIVE_INFINITY) {
  const frames: Uint8Array[] = [];
  const told: string[] = [];
  const subject = new Announcer({
    virtualMac,
    addresses,
    send: (batch) => {
      const taken = batch.slice(0, room);
      frames.push(...taken);
      return taken.length;
    },
    onSent: (operation, count) => told.push(`${operation} ${count}`),
    onFailed: (count) => told.push(`failed ${count}`),
    onRefused: (reason) => told.push(`refused ${reason}`),
  });
  return { subject, frames, told };
}

describe('announcing', () => {
  test('every address in both opcodes, always with the virtual MAC', () => {
    const { subject, frames, told } = announcer();
    subject.announce(grantAttached('gw', []));
    const said = frames.map((frame) => {
      const decoded = decodeArp(frame, 14, frame.length - 14);
      if (!decoded.ok) throw new Error(decoded.reason);
      const { opcode, senderAddress, senderMac } = decoded.value;
      return `${opcode} ${senderAddress} ${senderMac}`;
    });
    const bound = (opcode: number) => addresses.map((address) => `${opcode} ${address} ${virtualMac}`);
    expect(said).toEqual([...bound(1), ...bound(2)]);
    expect(told).toEqual(['arp_request 2', 'arp_reply 2']);
  });

  test('what the kernel does not take is counted as failed, the rest as what it was', () => {
    const { subject, told } = announcer(3);
    subject.announce(grantAttached('gw', []));
    expect(told).toEqual(['arp_request 2', 'arp_reply 1', 'failed 1']);
  });

  test('without a token, or with a revoked one, nothing leaves and the refusal is counted', () => {
    const { subject, frames, told } = announcer();
    const token = grantAttached('gw', []);
    token.revoke();
    subject.announce(token);
    subject.refuse();
    expect(frames).toEqual([]);
    expect(told).toEqual(['refused not_attached', 'refused not_attached']);
  });

  test('the schedule: at once, soon again, then for ever', () => {
    const times = Array.from({ length: 8 }, (_, announced) => nextAnnouncementMs(1000, announced));
    const lastMs = 1000 + (announceScheduleMs.at(-1) ?? 0);
    expect(times.slice(0, 5)).toEqual(announceScheduleMs.map((ms) => 1000 + ms));
    expect(times.slice(5)).toEqual([1, 2, 3].map((round) => lastMs + round * announceRefreshMs));
  });
});

describe('the token', () => {
  // Checked by the compiler: each line below must be an error there.
  const unattached = (subject: Announcer) => {
    // @ts-expect-error announcing needs a token
    subject.announce();
    // @ts-expect-error not having one is not enough
    subject.announce(undefined);
    // @ts-expect-error something that looks like one is none
    subject.announce({ vr: 'gw', receipts: [], valid: true, revoke: () => undefined });
    // @ts-expect-error nobody else has the key
    new Attached(Symbol('attached'), 'gw', []);
  };

  test('cannot be made by anybody else', () => {
    const key = Symbol('attached') as never;
    expect(() => new Attached(key, 'gw', [])).toThrow(TypeError);
    expect(unattached).toBeTypeOf('function');
  });

  test('is granted in one place of the whole program', () => {
    const source = fileURLToPath(new URL('..', import.meta.url));
    const granting = readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .filter((name) => readFileSync(`${source}/${name}`, 'utf8').includes('grantAttached('));
    expect(granting).toEqual(['attach/attachment.ts']);
  });
});

describe('announcing IPv6', () => {
  test.each([true, false])('with an advertisement that overrides; router %s as the host forwards', (isRouter) => {
    const mac = vrrpVirtualMac(6, 51);
    const sent: Uint8Array[] = [];
    const told: string[] = [];
    const subject = new Announcer({
      virtualMac: mac,
      addresses: ['fe80::1', '10.77.0.254'],
      isRouter: () => isRouter,
      send: (batch) => sent.push(...batch),
      onSent: (operation, count) => told.push(`${operation} ${count}`),
      onFailed: (count) => told.push(`failed ${count}`),
      onRefused: (reason) => told.push(`refused ${reason}`),
    });
    subject.announce(grantAttached('gw', []));
    expect(told).toEqual(['arp_request 1', 'arp_reply 1', 'na 1']);
    const frame = demuxFrame(sent[2] ?? new Uint8Array());
    expect(frame).toMatchObject({
      kind: 'ndp',
      etherSource: mac,
      etherDestination: '33:33:00:00:00:01',
      source: 'fe80::1',
      destination: 'ff02::1',
      hopLimit: 255,
      message: { type: 'advertisement', router: isRouter, solicited: false, override: true, linkLayerAddress: mac },
    });
  });
});
