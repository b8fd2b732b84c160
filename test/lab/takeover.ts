import type { RecordedFrame } from './frames.js';
import type { VirtualRouterSpec } from './setup.js';
import { virtualMacOf } from './setup.js';

/** A takeover as the wire shows it: what it was that told the successor, and the first frame that announced it. */
export interface Takeover {
  readonly toldMs: number;
  readonly announcedMs: number;
}

/**
 * Finds the first priority 0 of a virtual router that left the switch towards the successor, and the successor's first
 * ARP frame for its VIP after that.
 *
 * @param frames in no strict order between ports
 * @returns the reason in words where there is none
 */
export function findTakeover(
  frames: readonly RecordedFrame[],
  vr: VirtualRouterSpec,
  successor: string,
): Takeover | string {
  const earliest = (isIt: (frame: RecordedFrame) => boolean): number | undefined => {
    const times = frames.filter((frame) => frame.port === successor && isIt(frame)).map((frame) => frame.atMs);
    return times.length === 0 ? undefined : Math.min(...times);
  };
  const toldMs = earliest(
    (frame) => frame.kind === 'vrrp' && frame.direction === 'out' && frame.vrid === vr.id && frame.priority === 0,
  );
  if (toldMs === undefined) return `${vr.name}: no priority 0 reached ${successor}`;
  const virtualMac = virtualMacOf(vr);
  const announcedMs = earliest(
    (frame) =>
      frame.kind === 'arp' &&
      frame.direction === 'in' &&
      frame.atMs >= toldMs &&
      frame.source === virtualMac &&
      frame.senderIp === vr.address,
  );
  return announcedMs === undefined ? `${vr.name}: ${successor} never announced it` : { toldMs, announcedMs };
}
