import { isDeepStrictEqual } from 'node:util';
import { decodeArp, encodeArp } from '../../src/wire/arp.js';
import { decodeCarp, encodeCarp } from '../../src/wire/carp.js';
import { sumAddresses } from '../../src/wire/checksum.js';
import { type DemuxedFrame, demuxFrame } from '../../src/wire/demux.js';
import { ethernetHeaderLength } from '../../src/wire/ethernet.js';
import { decodeNdp, encodeNdp } from '../../src/wire/ndp.js';
import { explainRefusal } from '../../src/wire/reasons.js';
import { decodeVrrp, encodeVrrp } from '../../src/wire/vrrp.js';

/** What a fuzzed frame came to: its kind, and whether and why it was refused. */
export interface Outcome {
  readonly frame: DemuxedFrame;
  readonly label: string;
}

/**
 * Runs one frame through the demultiplexer and checks what must hold for all of them.
 * @throws Error, with the frame in hexadecimal, if something does not.
 */
export function judge(bytes: Uint8Array): Outcome {
  let frame: DemuxedFrame;
  try {
    frame = demuxFrame(bytes);
  } catch (error) {
    throw fault(bytes, 'the demultiplexer threw', error);
  }
  const label = labelOf(frame);
  const reason = refusalOf(frame);
  if (reason !== undefined && !explainRefusal(reason)) throw fault(bytes, `no sentence explains ${reason}`);
  return { frame, label };
}

/** Checks that an accepted message, encoded and decoded again, is the same message. */
export function judgeRoundTrip(bytes: Uint8Array, frame: DemuxedFrame): void {
  const again = roundTrip(bytes, frame);
  if (again !== undefined && !isDeepStrictEqual(again.second, again.first)) {
    throw fault(bytes, `a ${frame.kind} message changed in a round trip`);
  }
}

function roundTrip(bytes: Uint8Array, frame: DemuxedFrame): { first: unknown; second: unknown } | undefined {
  switch (frame.kind) {
    case 'arp':
      return { first: { ok: true, value: frame.packet }, second: decodeArp(encodeArp(frame.packet)) };
    case 'carp':
      if (!frame.advert.ok) return undefined;
      return { first: frame.advert, second: decodeCarp(encodeCarp(frame.advert.value)) };
    case 'vrrp': {
      if (!frame.advert.ok) return undefined;
      const { value } = frame.advert;
      const again = encodeVrrp(value, frame.source, frame.destination);
      const sum = sumAddresses(bytes, ethernetHeaderLength, frame.family);
      return { first: frame.advert, second: decodeVrrp(again, 0, again.length, frame.family, sum) };
    }
    case 'ndp': {
      const again = encodeNdp(frame.message, frame.source, frame.destination);
      const sum = sumAddresses(bytes, ethernetHeaderLength, 6);
      return { first: { ok: true, value: frame.message }, second: decodeNdp(again, 0, again.length, sum) };
    }
    default:
      return undefined;
  }
}

function refusalOf(frame: DemuxedFrame) {
  if (frame.kind === 'refused') return frame.reason;
  if (frame.kind !== 'vrrp' && frame.kind !== 'carp') return undefined;
  return frame.advert.ok ? undefined : frame.advert.reason;
}

function labelOf(frame: DemuxedFrame): string {
  const reason = refusalOf(frame);
  return reason === undefined ? frame.kind : `${frame.kind}: ${reason}`;
}

function fault(bytes: Uint8Array, what: string, cause?: unknown): Error {
  return new Error(`${what}; frame ${Buffer.from(bytes).toString('hex')}`, { cause });
}
