import { claimOf, judgeClaim, type WrongBinding } from '../core/detect/bindings.js';
import { ProbeRound, type ProbeVerdict } from '../core/detect/probe-round.js';
import { RateLimit } from '../core/detect/rate.js';
import { familyOf } from '../wire/address.js';
import type { DemuxedFrame } from '../wire/demux.js';
import { type MacAddress, zeroMac } from '../wire/mac.js';
import { buildAnnounceWish, buildVipProbe, type VipProbe } from '../wire/vip-probe.js';
import type { Detection } from './detection.js';
import type { WatchListener } from './lan-watch.js';
import type { ParentPort } from './parent-port.js';
import type { RouterCounters } from './router-counters.js';
import type { Scheduler } from './scheduler.js';

/** Hosts answer within milliseconds; the rest is for a machine that is busy. */
const answerMs = 800;
/** With the time for answers a question every 4 to 5 s; of more than a hundred on one interface so many each in that time. */
const pauseMs = { least: 3200, jitter: 1000 };
const askedInTime = 100;
/** While somebody answers wrongly, and where two answered and it must be asked again. */
const soonMs = 200;
/** Nobody waits for a question: those of many virtual routers wake this process so often, and not each by itself. */
const togetherMs = 50;
const wishRate = { perSecond: 2, burst: 2 };
/** A new master hears what the former one has sent. */
export const settledMs = 2000;

export interface VipWatchOptions {
  readonly vr: string;
  readonly id: number;
  /** Tells its timers from those of the virtual router's other interfaces. */
  readonly key: string;
  readonly port: ParentPort;
  readonly virtualMacs: ReadonlySet<MacAddress>;
  readonly vips: ReadonlyMap<string, MacAddress>;
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly detection: Detection;
  readonly counters: RouterCounters;
  readonly now: () => number;
  /** 0 to 1, evenly. */
  readonly random: () => number;
  /** Whether this node asks, or serves and for how long it has, or neither. */
  readonly role: () => 'asks' | 'idle' | { readonly servesSinceMs: number };
  /** Another master is heard: what it says is no leak of a third. */
  readonly hasRival: () => boolean;
  /** Puts right what clients have learnt. */
  readonly onWrong: () => void;
  /** Every neighbour advertisement for one of the addresses. */
  readonly onAdvertisement: (frame: DemuxedFrame) => void;
}

export interface VipProbeResult {
  readonly responders: number;
  readonly macMatch: boolean;
}

interface Question {
  readonly vip: string;
  readonly source: string;
  readonly senderMac: MacAddress;
  readonly frame: Uint8Array;
}

/** The detectors of one virtual router on one interface: what is said of its addresses, and who answers for them. */
export class VipWatch implements WatchListener {
  readonly #options: VipWatchOptions;
  readonly #wishes = new RateLimit(wishRate);
  readonly #results = new Map<string, VipProbeResult>();
  readonly #questions = new Map<string, Question>();
  #rounds = new Map<string, ProbeRound>();
  #vips: ReadonlyMap<string, MacAddress>;

  constructor(options: VipWatchOptions) {
    this.#options = options;
    this.#vips = options.vips;
    this.#makeRounds();
    options.port.watch.add(this);
    this.#later(options.random() * (pauseMs.least + pauseMs.jitter));
  }

  get vips(): ReadonlyMap<string, MacAddress> {
    return this.#vips;
  }

  get virtualMacs(): ReadonlySet<MacAddress> {
    return this.#options.virtualMacs;
  }

  get id(): number {
    return this.#options.id;
  }

  /** Other addresses belong here from now on. */
  setVips(vips: ReadonlyMap<string, MacAddress>): void {
    this.#vips = vips;
    this.#makeRounds();
    for (const vip of this.#results.keys()) if (!vips.has(vip)) this.#results.delete(vip);
    this.#questions.clear();
    this.#options.port.watch.changed();
  }

  /** What the last question found; undefined where this node has not asked. */
  result(vip: string): VipProbeResult | undefined {
    return this.#results.get(vip);
  }

  close(): void {
    this.#options.port.watch.remove(this);
    this.#at('ask', undefined, () => undefined);
    this.#at('answers', undefined, () => undefined);
  }

  // ── what is heard ─────────────────────────────────────────────────────────────────────────────────────────────────

  claimed(frame: DemuxedFrame, { outgoing, toUs }: { readonly outgoing: boolean; readonly toUs: boolean }): void {
    const claim = claimOf(frame);
    const virtualMac = claim === undefined ? undefined : this.#vips.get(claim.vip);
    if (claim === undefined || virtualMac === undefined) return;
    if (claim.kind === 'na' && !outgoing) this.#options.onAdvertisement(frame);
    const isAnswer = toUs && !outgoing && (claim.kind === 'arp_reply' || claim.kind === 'na');
    const answersProbe = isAnswer && this.#rounds.get(claim.vip)?.heard(claim.mac) === true;
    const wrong = judgeClaim(claim, virtualMac, { outgoing, answersProbe });
    if (wrong !== undefined) this.#wrong(wrong, virtualMac);
  }

  #wrong({ kind, vip, mac, frame }: WrongBinding, virtualMac: MacAddress): void {
    const { vr, detection, counters, onWrong } = this.#options;
    counters.wrongMac.add(kind);
    const evidence = [
      { key: 'mac', value: mac },
      { key: 'vip', value: vip },
      { key: 'expected', value: virtualMac },
      { key: 'kind', value: kind },
      { key: 'frame', value: frame },
    ];
    detection.saw({ kind: 'wrong_mac', vr, subject: mac, evidence });
    if (this.#isServing) onWrong();
    else this.wish();
  }

  /** Who serves alone, and has for a while, hears its virtual MAC from nobody else. */
  spoken(source: MacAddress, inWords: () => string): void {
    const { vr, detection, counters, role, hasRival, now } = this.#options;
    const standing = role();
    if (typeof standing === 'string' || hasRival() || now() - standing.servesSinceMs < settledMs) return;
    counters.leaks += 1;
    const evidence = [
      { key: 'mac', value: source },
      { key: 'frame', value: inWords() },
    ];
    detection.saw({ kind: 'virtual_mac_leak', vr, subject: source, evidence });
  }

  probed({ purpose }: VipProbe): void {
    if (purpose === 'announce_again' && this.#isServing) this.#options.onWrong();
  }

  // ── what is asked ─────────────────────────────────────────────────────────────────────────────────────────────────

  #ask(): void {
    const { port, role, detection, vr } = this.#options;
    if (role() !== 'asks' || port.state.fault !== undefined) {
      for (const round of this.#rounds.values()) round.forget();
      // A master knows nothing of who answers for its own addresses.
      this.#results.clear();
      detection.endAll(vr, 'this node does not ask any more', 'split_brain');
      this.#later(pauseMs.least);
      return;
    }
    const questions = [...this.#vips.keys()].flatMap((vip) => this.#questionFor(vip) ?? []);
    for (const { vip } of questions) this.#rounds.get(vip)?.ask();
    if (questions.length > 0) port.send(questions.map(({ frame }) => frame));
    this.#at('answers', this.#options.now() + answerMs, () => this.#settle());
  }

  /** Built once, as long as the own address and MAC stay what they are. */
  #questionFor(vip: string): Question | undefined {
    const source = this.#sourceFor(vip);
    if (source === undefined) return undefined;
    const { port, id } = this.#options;
    const senderMac = port.state.mac ?? zeroMac;
    const known = this.#questions.get(vip);
    if (known?.source === source && known.senderMac === senderMac) return known;
    const question = { vip, source, senderMac, frame: buildVipProbe({ id, vip, source, senderMac }) };
    this.#questions.set(vip, question);
    return question;
  }

  #settle(): void {
    const { vr, detection, role } = this.#options;
    if (role() !== 'asks') {
      this.#ask();
      return;
    }
    let asksSoon = detection.isOpen('wrong_mac', vr);
    for (const [vip, round] of this.#rounds) {
      const verdict = round.settle();
      if (verdict === undefined) continue;
      this.#results.set(vip, { responders: verdict.responders, macMatch: verdict.macMatch });
      this.#judgeSplit(vip, verdict);
      if (verdict.isSuspicious || verdict.isSplit) asksSoon = true;
    }
    // Whoever asks the wrong host meanwhile is put right within a second.
    if (detection.isOpen('wrong_mac', vr)) this.wish();
    this.#later(asksSoon ? soonMs : this.#pauseMs);
  }

  #judgeSplit(vip: string, { isSplit, isSuspicious, responders }: ProbeVerdict): void {
    const { vr, detection, counters } = this.#options;
    const about = { kind: 'split_brain', vr, subject: vip } as const;
    if (isSplit) {
      if (!detection.isOpen('split_brain', vr)) counters.splitBrainsProbed += 1;
      const evidence = [
        { key: 'source', value: 'probe' },
        { key: 'vip', value: vip },
        { key: 'answers', value: String(responders) },
      ];
      detection.saw({ ...about, evidence });
    } else if (!isSuspicious) {
      detection.end(about, 'one answers');
    }
  }

  /** Asks the master to announce: of a wrong answer, say, that went to this node alone. */
  wish(): void {
    const { port, id, now } = this.#options;
    const { primaryAddress, mac = zeroMac } = port.state;
    if (!this.#wishes.take(now())) return;
    port.send([buildAnnounceWish({ id, source: primaryAddress ?? '0.0.0.0', senderMac: mac })]);
  }

  get #isServing(): boolean {
    return typeof this.#options.role() !== 'string';
  }

  #sourceFor(vip: string): string | undefined {
    const { primaryAddress, linkLocal } = this.#options.port.state;
    // A question from no address changes no cache, and is answered all the same (RFC 5227).
    return familyOf(vip) === 4 ? (primaryAddress ?? '0.0.0.0') : linkLocal;
  }

  #makeRounds(): void {
    this.#rounds = new Map([...this.#vips].map(([vip, mac]) => [vip, this.#rounds.get(vip) ?? new ProbeRound(mac)]));
  }

  get #pauseMs(): number {
    const { port, random } = this.#options;
    return (pauseMs.least + random() * pauseMs.jitter) * Math.max(1, port.watch.size / askedInTime);
  }

  #later(waitMs: number): void {
    this.#at('ask', this.#options.now() + waitMs, () => this.#ask());
  }

  #at(what: string, dueAtMs: number | undefined, act: () => void): void {
    const togetherAtMs = dueAtMs === undefined ? undefined : Math.ceil(dueAtMs / togetherMs) * togetherMs;
    this.#options.scheduler.set(`${what} ${this.#options.key}`, togetherAtMs, act);
  }
}
