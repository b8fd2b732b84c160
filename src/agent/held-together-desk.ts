import {
  type FoundTogether,
  HeldTogether,
  type Holding,
  type TogetherSpan,
  type Word,
} from '../core/detect/held-together.js';
import { LogReading } from '../core/detect/log-time.js';
import {
  isLease,
  isObservation,
  isOwnership,
  type KoiEvent,
  type LogRead,
  type ObservationEvent,
} from '../log/event.js';
import type { StoredEvent } from '../log/port.js';
import type { LogTimers } from '../log/timers.js';

/** What the log may still say of one that has begun or ended: looked at again for so long. */
const looksForMs = 10_000;
/** A process that does nothing for longer than this has stood still. */
const pulseEveryMs = 200;
const stoodMs = 300;

type Evidence = readonly { readonly key: string; readonly value: string }[];

export interface HeldTogetherDeskOptions {
  readonly node: string;
  readonly now: () => number;
  readonly timers: Pick<LogTimers, 'after'>;
  readonly isMaster: (vr: string) => boolean;
  /** This node has nothing to tell the log that it does not have. */
  readonly hasToldAll: () => boolean;
  /** Two held at once, and this node was one of them. */
  readonly onFound: (found: FoundTogether) => void;
}

/** Reads the log for masters that held beside this node, and tells of each once. */
export class HeldTogetherDesk {
  readonly #options: HeldTogetherDeskOptions;
  readonly #together: HeldTogether;
  /** The log is read again: what is known of before is better. */
  #isAgain = false;
  readonly #reading = new LogReading();
  /** Virtual routers of which something has begun or ended lately, and until when that is news. */
  readonly #newsUntilMs = new Map<string, number>();
  /** The latest that this node has to tell: until it is read again, the log says of it what was. */
  #tellsMs: number | undefined;
  #pulseMs: number;
  /** The last time that this process stood still. */
  #stood = { fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.NEGATIVE_INFINITY };
  #callOff: () => void = () => undefined;

  constructor(options: HeldTogetherDeskOptions) {
    this.#options = options;
    this.#together = new HeldTogether(options.node);
    this.#pulseMs = options.now();
  }

  start(): void {
    this.#callOff = this.#options.timers.after(pulseEveryMs, () => {
      this.#notePulse();
      this.start();
    });
  }

  stop(): void {
    this.#callOff();
  }

  #notePulse(): void {
    const nowMs = this.#options.now();
    if (nowMs - this.#pulseMs > stoodMs) this.#stood = { fromMs: this.#pulseMs, untilMs: nowMs };
    this.#pulseMs = nowMs;
  }

  /** Since when it may be that what this process learns now has happened: it may have stood still. */
  get awakeSinceMs(): number {
    this.#notePulse();
    const { fromMs, untilMs } = this.#stood;
    return this.#pulseMs - untilMs > stoodMs ? this.#pulseMs : fromMs;
  }

  /** What binds this node's clock to the log's; undefined where nothing was read. */
  get lastRead(): LogRead | undefined {
    return this.#reading.best(this.#options.now());
  }

  /** One more event of the log, or a lease. */
  read({ event, storedAtMs }: StoredEvent): void {
    this.#reading.read({ storedAtMs, atMs: this.#options.now() });
    if (event === undefined) return;
    const word = wordOf(event, storedAtMs);
    if (word === undefined || (this.#isAgain && this.#together.hasRead(word.node, word.atMs))) return;
    this.#together.read(word, this.#options.now());
    const { holding } = word;
    if (holding?.type !== 'began' && holding?.type !== 'ended') return;
    this.#newsUntilMs.set(holding.vr, this.#options.now() + looksForMs);
  }

  /** This node tells the log of something. */
  tells({ monotonicMs }: ObservationEvent): void {
    this.#tellsMs = Math.max(this.#tellsMs ?? monotonicMs, monotonicMs);
  }

  /** The log is another than the one that was read: it begins anew. */
  readsAgain(): void {
    this.#isAgain = true;
  }

  /** All has been read. */
  caughtUp(): void {
    this.#isAgain = false;
  }

  /** To be called again and again while the log can be reached. */
  look(): void {
    const nowMs = this.#options.now();
    const { node, isMaster, hasToldAll } = this.#options;
    const isComplete = hasToldAll() && (this.#tellsMs === undefined || this.#together.hasRead(node, this.#tellsMs));
    for (const [vr, untilMs] of this.#newsUntilMs) {
      for (const found of this.#together.look(vr, isComplete && isMaster(vr), nowMs)) this.#options.onFound(found);
      if (isComplete && nowMs > untilMs) this.#newsUntilMs.delete(vr);
    }
  }
}

/** What a node that held beside another tells of it. */
export const evidenceOfTogether = ({ rival, togetherMs, fromMs }: FoundTogether): Evidence => [
  { key: 'source', value: 'log' },
  { key: 'rival', value: rival },
  { key: 'together', value: `${(togetherMs / 1000).toFixed(2)} s` },
  { key: 'from', value: new Date(fromMs).toISOString() },
];

/** From when to when, of one who has read it in the log. */
function spanIn(evidence: Evidence): TogetherSpan | undefined {
  const said = new Map(evidence.map(({ key, value }) => [key, value]));
  const fromMs = Date.parse(said.get('from') ?? '');
  const togetherMs = 1000 * Number.parseFloat(said.get('together') ?? '');
  return Number.isNaN(fromMs + togetherMs) ? undefined : { fromMs, toMs: fromMs + togetherMs };
}

/** What a dataplane tells; the rest its agent says, which may know nothing of it. */
const bySight: ReadonlySet<string> = new Set(['transition', 'masterActive', 'provisionalTakeover', 'linkRepaired']);

function wordOf(event: KoiEvent, storedAtMs: number): Word | undefined {
  const { node, boot, monotonicMs: atMs } = event;
  if (isOwnership(event) || isLease(event)) {
    return { node, boot: undefined, atMs, storedAtMs, read: undefined, isSign: false, holding: undefined };
  }
  if (!isObservation(event)) return undefined;
  return {
    node,
    boot,
    atMs,
    storedAtMs,
    read: event.logRead,
    isSign: bySight.has(event.payload.type),
    holding: holdingIn(event),
  };
}

function holdingIn({ vr, payload }: ObservationEvent): Holding | undefined {
  switch (payload.type) {
    case 'transition': {
      if (vr === undefined) return undefined;
      const { from, to, reason } = payload;
      if (to === 'candidate') return { type: 'takes', vr, byHandover: reason === 'handover' };
      if (to === 'master') return { type: 'began', vr };
      if (to === 'draining' && from === 'master') {
        return reason === 'handover' ? { type: 'handsOver', vr } : undefined;
      }
      const held = from === 'master' || from === 'draining';
      return held ? { type: 'ended', vr, isUnsure: to === 'fenced' } : { type: 'didNotHold', vr };
    }
    case 'dataplaneLost':
      return { type: 'allEnded', seenMs: payload.seenMs };
    case 'nodeStopped':
      return { type: 'allEnded', seenMs: undefined };
    case 'fenced':
      return vr === undefined ? { type: 'allEnded', seenMs: undefined } : { type: 'ended', vr, isUnsure: false };
    case 'episodeBegan': {
      const { kind, subject } = payload;
      if (kind !== 'split_brain' || vr === undefined || subject === undefined) return undefined;
      return { type: 'told', vr, rival: subject, span: spanIn(payload.evidence) };
    }
    default:
      return undefined;
  }
}
