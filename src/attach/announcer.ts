import { gratuitousArp } from '../wire/arp.js';
import type { MacAddress } from '../wire/mac.js';
import type { Attached } from './attached.js';

/** After a takeover the announcement is repeated at these times, and then every `refreshMs` for as long as it lasts. */
export const announceScheduleMs: readonly number[] = [0, 100, 1200, 2400, 5000];
export const announceRefreshMs = 15_000;

export type AnnounceOperation = 'arp_request' | 'arp_reply' | 'na';
export type AnnounceRefusal = 'not_attached' | 'no_sender';

export interface AnnouncerOptions {
  readonly virtualMac: MacAddress;
  /** Virtual IPv4 addresses, without prefix. */
  readonly addresses: readonly string[];
  /** Puts frames on the parent's wire; returns how many the kernel took. */
  readonly send: (frames: readonly Uint8Array[]) => number;
  readonly onSent: (operation: AnnounceOperation, count: number) => void;
  readonly onFailed: (count: number) => void;
  readonly onRefused: (reason: AnnounceRefusal) => void;
}

/**
 * Tells the LAN where the virtual IPs are: gratuitous ARP in both opcodes, since some hosts learn only from requests and
 * some only from replies. Frames are built once.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #frames: readonly Uint8Array[];

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    const { virtualMac, addresses } = options;
    this.#frames = (['request', 'reply'] as const).flatMap((operation) =>
      addresses.map((address) => gratuitousArp({ virtualMac, address, operation })),
    );
  }

  /** Announces every address once. Without a valid token nothing leaves, and the refusal is counted. */
  announce(token: Attached | undefined): void {
    if (token === undefined || !token.valid) {
      this.#options.onRefused('not_attached');
      return;
    }
    const sent = this.#options.send(this.#frames);
    const each = this.#options.addresses.length;
    this.#options.onSent('arp_request', Math.min(sent, each));
    this.#options.onSent('arp_reply', Math.max(0, sent - each));
    if (sent < this.#frames.length) this.#options.onFailed(this.#frames.length - sent);
  }
}

/** When to announce next, `announced` times after having taken over at `sinceMs`. */
export function nextAnnouncementMs(sinceMs: number, announced: number): number {
  const scheduled = announceScheduleMs[announced];
  if (scheduled !== undefined) return sinceMs + scheduled;
  const last = announceScheduleMs.at(-1) ?? 0;
  return sinceMs + last + (announced - announceScheduleMs.length + 1) * announceRefreshMs;
}
