import { isDeepStrictEqual } from 'node:util';
import { decodeArp, encodeArp } from '../../src/wire/arp.js';
import { decodeCarp, encodeCarp } from '../../src/wire/carp.js';
import { sumAddresses } from '../../src/wire/checksum.js';
import { type DemuxedFrame, demuxFrame, type NoticeFrame } from '../../src/wire/demux.js';
import { ethernetHeaderLength } from '../../src/wire/ethernet.js';
import { decodeLanDatagram, encodeLanDatagram } from '../../src/wire/lan-datagram.js';
import { decodeNdp, encodeNdp } from '../../src/wire/ndp.js';
import { explainRefusal, type RefusalReason } from '../../src/wire/reasons.js';
import { decodeVrrp, encodeVrrp } from '../../src/wire/vrrp.js';
import { hmacSha256, noticeKey } from './golden-frames.js';

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
  let reason: RefusalReason | undefined;
  try {
    frame = demuxFrame(bytes);
    reason = refusalOf(bytes, frame);
  } catch (error) {
    throw fault(bytes, 'a decoder threw', error);
  }
  const label = labelOf(frame, reason);
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
    case 'notice': {
      const first = readNotice(bytes, frame);
      if (!first.ok) return undefined;
      const again = encodeLanDatagram(first.value, noticeKey, hmacSha256);
      return { first, second: decodeLanDatagram(again, 0, again.length, noticeKey, hmacSha256) };
    }
    default:
      return undefined;
  }
}

const readNotice = (bytes: Uint8Array, { payloadOffset, payloadLength }: NoticeFrame) =>
  decodeLanDatagram(bytes, payloadOffset, payloadLength, noticeKey, hmacSha256);

function refusalOf(bytes: Uint8Array, frame: DemuxedFrame) {
  if (frame.kind === 'refused') return frame.reason;
  if (frame.kind === 'notice') {
    const notice = readNotice(bytes, frame);
    return notice.ok ? undefined : notice.reason;
  }
  if (frame.kind !== 'vrrp' && frame.kind !== 'carp') return undefined;
  return frame.advert.ok ? undefined : frame.advert.reason;
}

function labelOf(frame: DemuxedFrame, reason: RefusalReason | undefined): string {
  return reason === undefined ? frame.kind : `${frame.kind}: ${reason}`;
}

function fault(bytes: Uint8Array, what: string, cause?: unknown): Error {
  return new Error(`${what}; frame ${Buffer.from(bytes).toString('hex')}`, { cause });
}
