import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  decodeMessages,
  encodeCommand,
  guardCommands,
  guardLimits,
  guardReports,
  guardStatuses,
  guardVersion,
  parseReport,
} from './guard-protocol.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const ack = bytes('10000000 81 000000 07000000 08000000');
function reportFrame(text: string): Uint8Array {
  const payload = Buffer.from(text);
  const frame = Buffer.alloc(12 + payload.length);
  frame.writeUInt32LE(frame.length, 0);
  frame[4] = 130;
  payload.copy(frame, 12);
  return frame;
}

describe('numbers', () => {
  test('are those the guard is compiled with', () => {
    const header = readFileSync(new URL('../kernel/native/guard-protocol.h', import.meta.url), 'utf8');
    const defined = Object.fromEntries(
      [...header.matchAll(/#define GUARD_(\w+) (\d+)/g)].map(([, name, value]) => [name, Number(value)]),
    );
    const expected: Record<string, number> = {
      VERSION: guardVersion,
      FRAME_BYTES_MAX: guardLimits.frameBytes,
      REPORT_BYTES_MAX: guardLimits.reportBytes,
      VRS_MAX: guardLimits.virtualRouters,
      ADDRESSES_MAX: guardLimits.addresses,
      ADVERTS_MAX: guardLimits.adverts,
      ADVERT_BYTES_MAX: guardLimits.advertBytes,
      NAME_BYTES_MAX: guardLimits.nameBytes,
      NETNS_BYTES_MAX: guardLimits.netnsBytes,
    };
    for (const [name, value] of Object.entries({ ...guardCommands, ...guardReports }))
      expected[name.toUpperCase()] = value;
    for (const [value, name] of guardStatuses.entries()) expected[name.toUpperCase()] = value;
    expect(defined).toMatchObject(expected);
  });
});

describe('commands', () => {
  test.each([
    [
      { type: 'hello', pid: 0x1234, timeoutMs: 300, group: 0x4b01 },
      '1c000000 01 000000 05000000 02000000 34120000 2c010000 014b0000',
    ],
    [{ type: 'drop', slot: 3 }, '10000000 03 000000 05000000 0300 0000'],
    [{ type: 'heartbeat' }, '0c000000 04 000000 05000000'],
    [
      { type: 'deadline', slot: 258, monotonicNs: 0x0102030405060708n },
      '18000000 05 000000 05000000 0201 0100 0807060504030201',
    ],
    [{ type: 'deadline', slot: 1, monotonicNs: undefined }, '18000000 05 000000 05000000 0100 0000 0000000000000000'],
    [{ type: 'bye' }, '0c000000 06 000000 05000000'],
  ] as const)('%o', (command, expected) => {
    expect(hex(encodeCommand(command, 5))).toBe(expected.replaceAll(' ', ''));
  });

  test('PUT carries the name, addresses of both families, and frames', () => {
    const frame = encodeCommand(
      {
        type: 'put',
        slot: 2,
        name: 'gw',
        addresses: [
          { ifindex: 7, family: 4, prefixLength: 32, bytes: bytes('0a4d00fe') },
          { ifindex: 8, family: 6, prefixLength: 128, bytes: bytes('20010db8000000000000000000000064') },
        ],
        adverts: [{ ifindex: 3, frame: bytes('01005e000012 00005e000133 0800') }],
      },
      0xfffffffe,
    );
    expect(hex(frame)).toBe(
      [
        '5c000000 02 000000 feffffff 0200 0200 0100 02 00 6777',
        '07000000 04 20 0000 0a4d00fe 000000000000000000000000',
        '08000000 06 80 0000 20010db8000000000000000000000064',
        '03000000 0e00 0000 01005e00001200005e0001330800',
      ]
        .join('')
        .replaceAll(' ', ''),
    );
  });

  test('PUT names the namespace of the addresses, and which advert is routed', () => {
    const adverts = [{ ifindex: 3, frame: bytes('0102030405060708 0a0b0c0d0e0f'), routed: true }];
    const frame = encodeCommand({ type: 'put', slot: 0, name: 'gw', namespace: 'blue', addresses: [], adverts }, 1);
    expect(hex(frame)).toBe(
      [
        '30000000 02 000000 01000000 0000 0000 0100 02 04 6777 626c7565',
        '03000000 0e00 0100 01020304050607080a0b0c0d0e0f',
      ]
        .join('')
        .replaceAll(' ', ''),
    );
  });

  test('a name is cut to what the guard keeps', () => {
    const frame = encodeCommand({ type: 'put', slot: 0, name: 'x'.repeat(100), addresses: [], adverts: [] }, 1);
    expect(frame[18]).toBe(63);
    expect(frame.length).toBe(12 + 8 + 63);
  });
});

describe('messages', () => {
  const ready = '{"event":"ready","pid":9,"memoryLocked":true,"oomProtected":false,"realtime":true}';

  test('are decoded wherever the stream is cut', () => {
    const stream = Buffer.concat([ack, reportFrame(ready), ack]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const first = decodeMessages(stream.subarray(0, cut));
      if (!first.ok) throw new Error(`${first.reason} at ${cut}`);
      const second = decodeMessages(Buffer.concat([first.rest, stream.subarray(cut)]));
      if (!second.ok) throw new Error(`${second.reason} after ${cut}`);
      expect(second.rest.length).toBe(0);
      expect([...first.messages, ...second.messages]).toEqual([
        { type: 'ack', sequence: 7, status: 'too_many_adverts' },
        { type: 'report', report: JSON.parse(ready) },
        { type: 'ack', sequence: 7, status: 'too_many_adverts' },
      ]);
    }
  });

  test.each([
    ['bad_length', bytes('0b000000 81 000000 07000000')],
    ['bad_length', bytes('ffffffff 81 000000 07000000')],
    ['unknown_type', bytes('0c000000 80 000000 07000000')],
    ['unknown_status', bytes('10000000 81 000000 07000000 ff000000')],
    ['unknown_status', bytes('0c000000 81 000000 07000000')],
    ['bad_report', reportFrame('{"event":"ready"')],
    ['bad_report', reportFrame('{"event":"greeting"}')],
  ])('refused: %s', (reason, stream) => {
    expect(decodeMessages(stream)).toEqual({ ok: false, reason });
  });

  test('a line of the guard is read from any log, other lines are not its own', () => {
    expect(parseReport(ready)).toMatchObject({ event: 'ready', pid: 9 });
    expect(parseReport('guard: hello')).toBeUndefined();
    expect(parseReport('{"level":30,"msg":"started"}')).toBeUndefined();
  });
});
