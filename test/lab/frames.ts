/** A frame as the recorder saw it. Times in milliseconds of the monotonic clock. */
export type RecordedFrame = FrameHeader & (ArpFrame | NdpFrame | AdvertFrame | { readonly kind: 'koi' | 'other' });

interface FrameHeader {
  readonly atMs: number;
  /** `client`, or the router whose switch port it was. */
  readonly port: string;
  /** Received by the port (`in`) or sent by it (`out`). */
  readonly direction: 'in' | 'out';
  readonly source: string;
  readonly destination: string;
}

export interface ArpFrame {
  readonly kind: 'arp';
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac: string;
  readonly targetIp: string;
}

/** A neighbour solicitation (135) or advertisement (136). */
export interface NdpFrame {
  readonly kind: 'ndp';
  readonly type: number;
  readonly ipSource: string;
  readonly target: string;
  /** Of whom it is about; undefined where it says none. */
  readonly linkLayer: string | undefined;
}

export interface AdvertFrame {
  readonly kind: 'vrrp';
  readonly ipSource: string;
  readonly vrid: number;
  readonly priority: number;
}

/** What one line of the recorder says; undefined is a line it does not print. */
export function parseFrame(line: string): RecordedFrame | undefined {
  const [ns, port, direction, kind, source, destination, ...rest] = line.split(' ');
  if (ns === undefined || port === undefined || source === undefined || destination === undefined) return undefined;
  if (direction !== 'in' && direction !== 'out') return undefined;
  const header = { atMs: Number(ns) / 1e6, port, direction, source, destination } as const;
  switch (kind) {
    case 'arp': {
      const [operation, senderMac = '', senderIp = '', targetMac = '', targetIp = ''] = rest;
      return { ...header, kind, operation: Number(operation), senderMac, senderIp, targetMac, targetIp };
    }
    case 'ndp': {
      const [type, ipSource = '', target = '', linkLayer] = rest;
      return {
        ...header,
        kind,
        type: Number(type),
        ipSource,
        target,
        linkLayer: linkLayer === '-' ? undefined : linkLayer,
      };
    }
    case 'vrrp': {
      const [ipSource = '', , , , id, priority] = rest;
      return { ...header, kind, ipSource, vrid: Number(id), priority: Number(priority) };
    }
    case 'koi':
    case 'other':
      return { ...header, kind };
    default:
      return undefined;
  }
}

/** Why a frame breaks the first promise, or undefined where it keeps it. */
export type WrongMacReason = 'sender-mac' | 'ethernet-source';

/** The address for which a frame says where it is, if it says so of any. */
export function spokenFor(frame: RecordedFrame): string | undefined {
  if (frame.kind === 'arp') return frame.senderIp;
  if (frame.kind !== 'ndp') return undefined;
  return frame.type === 136 ? frame.target : frame.ipSource;
}

/**
 * Judges a frame that speaks for one of these addresses, ARP or neighbour discovery; undefined where it keeps the promise, or speaks
 * for none of them.
 */
export function judgeBinding(
  frame: RecordedFrame,
  virtualMacs: ReadonlyMap<string, string>,
): WrongMacReason | undefined {
  const address = spokenFor(frame);
  const virtualMac = address === undefined ? undefined : virtualMacs.get(address);
  if (address === undefined || virtualMac === undefined) return undefined;
  if (frame.kind === 'arp') return judgeArp(frame, address, virtualMac);
  // An answer to one host alone need not say it.
  if (frame.kind === 'ndp' && frame.linkLayer !== undefined && frame.linkLayer !== virtualMac) return 'sender-mac';
  return frame.source === virtualMac ? undefined : 'ethernet-source';
}

/**
 * Judges one ARP frame: whoever sends it, whatever the operation, a frame with the VIP as its sender must carry the
 * virtual MAC as the sender and as the Ethernet source.
 */
export function judgeArp(
  frame: Pick<RecordedFrame, 'source'> & ArpFrame,
  vip: string,
  virtualMac: string,
): WrongMacReason | undefined {
  if (frame.senderIp !== vip) return undefined;
  if (frame.senderMac !== virtualMac) return 'sender-mac';
  return frame.source === virtualMac ? undefined : 'ethernet-source';
}

/** The longest time without an advert of a sender, from the last before `fromMs` to `untilMs`; undefined without any. */
export function longestAdvertGapMs(
  advertTimesMs: readonly number[],
  fromMs: number,
  untilMs: number,
): number | undefined {
  const before = advertTimesMs.filter((atMs) => atMs <= fromMs).at(-1);
  const within = advertTimesMs.filter((atMs) => atMs > fromMs && atMs <= untilMs);
  const marks = [...(before === undefined ? [] : [before]), ...within];
  if (marks.length === 0) return undefined;
  return Math.max(...[...marks.slice(1), untilMs].map((atMs, index) => atMs - (marks[index] ?? atMs)));
}
