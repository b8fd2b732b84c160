import {
  type ConfigurationNews,
  type ConfigurationPeer,
  type ConfigurationRecord,
  type ConfigurationStep,
  configurationDifference,
  differsFromForce,
  mayApplyAtOnce,
  nextConfigurationStep,
  type OwnConfiguration,
  type SharedConfiguration,
  waitingFor,
} from '../core/config-version.js';
import type { BootId, NodeId } from '../core/identity.js';
import type { ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import { KoiError } from '../koi-error.js';
import { configurationOf } from '../log/config-projection.js';
import type { ConfigurationEvent, ReportedVirtualRouter } from '../log/event.js';
import type { AppendResult, EventLog } from '../log/port.js';
import { type LogState, type NodeRecord, ownershipOf, reportedBy } from '../log/projection.js';
import type { LogTimers } from '../log/timers.js';
import type { StatusConfiguration } from '../observe/status.js';
import { AppendTurns } from './append-turns.js';
import type { Moment } from './journal.js';

const appendDeadlineMs = 1000;
/** What was said is taken back within this time, or the reload is refused. */
const takeBackDeadlineMs = 3000;
const takeBackLookMs = 5;
/** Looked at in one turn, where nothing has happened. */
const inTurnMost = 200;
/** After an answer that did not come; meanwhile the log may say by itself what became of it. */
const retryAfterMs = 500;
/** A thousand virtual routers have their first word to say at the same moment. */
const appendsMost = 16;

type Append = Exclude<ConfigurationStep, { type: 'apply' }>;

export interface ConfigDeskOptions {
  readonly log: EventLog;
  readonly cluster: string;
  readonly node: NodeId;
  readonly boot: () => BootId;
  /** The log as folded so far. */
  readonly state: () => LogState;
  /** The log answers, and all of it has been read. */
  readonly reachable: () => boolean;
  /** The virtual routers as the dataplane describes them. */
  readonly vrs: () => ReadonlyMap<string, VrStateMessage>;
  /**
   * Whether another node may run: who does not is not waited for. `spokeAtMs`: when a switch of its was read here, by the
   * monotonic clock.
   */
  readonly mayRun: (node: NodeRecord, spokeAtMs: number) => boolean;
  /** Whether that was within the time that a lease lasts. */
  readonly hasJustSpoken: (spokeAtMs: number) => boolean;
  readonly send: (message: ToDataplane) => boolean;
  readonly newEventId: () => string;
  readonly clock: () => Moment;
  readonly timers: LogTimers;
  /** This node runs another configuration than the one in force, or no longer; in words. */
  readonly onDiffers: (vr: string, difference: string | undefined) => void;
  /** The log is wanted by claims and releases now, which others wait for. Default: never. */
  readonly isWanted?: () => boolean;
}

/** What of a node every virtual router's configuration may depend on. */
interface Other {
  readonly boot: BootId;
  readonly virtualRouters: readonly ReportedVirtualRouter[];
  readonly stopped: boolean;
  /** By its lease alone. */
  readonly mayRun: boolean;
}

/** What is under way for one virtual router. */
interface Errand {
  /** Nothing is appended before the log has been read up to here. */
  awaits: number;
  /** What was said with this expectation was refused: something else stands there, and is about to be read. */
  refusedAt: number | undefined;
  isAppending: boolean;
  /** What the dataplane was told to switch to. */
  applied: string | undefined;
  /** What the dataplane was told last: whether it differs from what is in force. */
  told: boolean | undefined;
  forced: string | undefined;
  /** The newest version, and when it was first read here. */
  seen: { readonly version: number; readonly atMs: number } | undefined;
  differs: boolean;
  /** A reload is under way: nothing is said before it is over. */
  isHeld: boolean;
}

/** Says in the log what this node's file says of each virtual router, and switches when the log does. */
export class ConfigDesk {
  readonly #options: ConfigDeskOptions;
  readonly #errands = new Map<string, Errand>();
  readonly #waits = new Set<() => void>();
  readonly #turns: AppendTurns;
  /** Those of which something is another since the last look; `all`: perhaps of any. */
  #touched: Set<string> | 'all' = 'all';
  #others: ReadonlyMap<string, Other> = new Map();
  #next = 0;

  constructor(options: ConfigDeskOptions) {
    this.#options = options;
    const { isWanted = () => false, timers } = options;
    this.#turns = new AppendTurns({ most: appendsMost, isWanted, onTurn: (vr) => this.#lookAt(vr), timers });
  }

  stop(): void {
    this.#turns.stop();
    for (const callOff of this.#waits) callOff();
    this.#waits.clear();
  }

  /** Another dataplane, or another life of it, knows nothing of what the one before was told. */
  dataplaneCame(): void {
    for (const errand of this.#errands.values()) Object.assign(errand, { applied: undefined, told: undefined });
    this.#touched = 'all';
  }

  /** Virtual routers that began anew know nothing of what the ones before were told. */
  routersCame(): void {
    for (const errand of this.#errands.values()) errand.told = undefined;
    this.look();
  }

  /** The log is another than the one written to. */
  forget(): void {
    for (const errand of this.#errands.values()) Object.assign(errand, { awaits: 0, refusedAt: undefined });
    this.#touched = 'all';
  }

  /**
   * What a reload may not change at once: virtual routers that others run as well. Where the log cannot be asked,
   * `onLogLoss: wire` lets the operator decide.
   */
  guarded(mayWithoutLog: (vr: string) => boolean): { vr: string; digests: string[] }[] {
    return [...this.#options.vrs().keys()].flatMap((vr) => {
      if (!this.#options.reachable()) return mayWithoutLog(vr) ? [] : [{ vr, digests: [] }];
      const atOnce = mayApplyAtOnce(this.#record(vr), this.#peers(vr));
      return atOnce === 'any' ? [] : [{ vr, digests: atOnce }];
    });
  }

  /**
   * Takes back what this node has said it wants, for as long as `work` changes it: others must not count on what is no
   * longer ready here.
   *
   * @throws KoiError `log` where the log does not take it back
   */
  async whileTakenBack<T>(work: () => Promise<T>): Promise<T> {
    const names = [...this.#options.vrs().values()].flatMap(({ vr, configuration }) =>
      configuration?.prepared ? [vr] : [],
    );
    for (const vr of names) this.#errand(vr).isHeld = true;
    try {
      for (const vr of names) await this.#takeBack(vr);
      return await work();
    } finally {
      for (const vr of names) this.#errand(vr).isHeld = false;
      this.look();
    }
  }

  async #takeBack(vr: string): Promise<void> {
    const deadlineMs = this.#options.clock().monotonicMs + takeBackDeadlineMs;
    while (this.#options.clock().monotonicMs < deadlineMs) {
      const record = this.#record(vr);
      const errand = this.#errand(vr);
      const state = this.#options.vrs().get(vr);
      const isSaid = record.wishes.some(({ node }) => node === this.#options.node);
      const isRead = this.#options.state().sequence >= errand.awaits && !errand.isAppending;
      if (isRead && this.#options.reachable() && (!isSaid || state === undefined)) return;
      if (isRead && this.#options.reachable() && state !== undefined && record.sequence !== errand.refusedAt) {
        await this.#append(state, { type: 'withdraw', version: record.version + 1 }, record, errand);
      }
      await new Promise<void>((resolve) => this.#after(takeBackLookMs, resolve));
    }
    throw new KoiError(
      'log',
      `${vr}: the log does not answer, and it still says what this node is ready to switch to`,
      {
        remedy: 'try again when the log is back; `koi reload --force` does not wait',
      },
    );
  }

  /** What runs, to tell after a reload what was changed without the other nodes. */
  runningNow(): ReadonlyMap<string, string> {
    const told = [...this.#options.vrs().values()];
    return new Map(told.flatMap(({ vr, configuration: own }) => (own ? [[vr, own.running.digest] as const] : [])));
  }

  /** For whoever asked for a reload: what was changed at once, and why nobody was waited for. */
  remarks(before: ReadonlyMap<string, string>, isForced: boolean): string[] {
    return [...this.runningNow()].flatMap(([vr, digest]) => {
      if (!before.has(vr) || before.get(vr) === digest) return [];
      const others = this.#peers(vr).map(({ node }) => node);
      const isInForce = this.#record(vr).inForce?.digest === digest;
      if (isForced)
        return [`${vr}: changed on this node without waiting; reload ${others.join(', ') || 'the others'} as well`];
      if (!this.#options.reachable()) {
        return [`${vr}: the log cannot be reached: changed on this node alone; reload the others as well`];
      }
      return [isInForce ? `${vr}: in force on this node as well` : `${vr}: no other node runs it: in force at once`];
    });
  }

  /** The operator has put into force what these virtual routers run now. */
  force(vrs: readonly VrStateMessage[]): void {
    for (const { vr, configuration } of vrs) {
      if (configuration !== undefined) this.#errand(vr).forced = configuration.running.digest;
    }
    this.look();
  }

  /** Something is another: the log, the dataplane, who is alive. Does what there is to do. */
  look(): void {
    this.#touched = 'all';
    this.lookAtTouched();
  }

  /**
   * Once a second, for what only time makes another, who has just spoken say: of up to two hundred, of more at the next so
   * many.
   */
  lookInTurn(): void {
    const names = [...this.#options.vrs().keys()];
    if (this.#next >= names.length) this.#next = 0;
    for (const vr of names.slice(this.#next, this.#next + inTurnMost)) this.touch(vr);
    this.#next += inTurnMost;
    this.lookAtTouched();
  }

  /** Something of this virtual router is another: what the log or the dataplane says. It is looked at with the others. */
  touch(vr: string): void {
    if (this.#touched !== 'all') this.#touched.add(vr);
  }

  /** Does what there is to do for those that were touched, and for all of them where other nodes are not what they were. */
  lookAtTouched(): void {
    if (!this.#options.reachable() || this.#options.boot() === '') {
      this.#touched = 'all';
      return;
    }
    if (this.#areOthersNew()) this.#touched = 'all';
    const touched = this.#touched;
    this.#touched = new Set();
    for (const vr of touched === 'all' ? this.#options.vrs().keys() : touched) this.#lookAt(vr);
  }

  #lookAt(vr: string): void {
    if (!this.#options.reachable() || this.#options.boot() === '') return;
    const state = this.#options.vrs().get(vr);
    const own = state && this.#own(state);
    if (state !== undefined && own !== undefined) this.#act(state, own);
  }

  #areOthersNew(): boolean {
    const { state, node: self, mayRun } = this.#options;
    const before = this.#others;
    const nodes = [...state().nodes.values()].filter(({ node }) => node !== self);
    let isNew = nodes.length !== before.size;
    const others = new Map<string, Other>();
    for (const record of nodes) {
      const { node: name, boot, virtualRouters, stopped } = record;
      const other = { boot, virtualRouters, stopped, mayRun: mayRun(record, Number.NEGATIVE_INFINITY) };
      others.set(name, other);
      const known = before.get(name);
      isNew ||=
        known?.boot !== boot ||
        known.virtualRouters !== virtualRouters ||
        known.stopped !== stopped ||
        known.mayRun !== other.mayRun;
    }
    this.#others = others;
    return isNew;
  }

  /** For `koi status`. */
  describe(vr: string): StatusConfiguration | null {
    const told = this.#options.vrs().get(vr)?.configuration;
    if (told === undefined) return null;
    const record = this.#record(vr);
    const { running, prepared } = told;
    return {
      digest: running.digest,
      version: record.version,
      inForce: record.inForce?.digest ?? null,
      prepared: prepared?.digest ?? null,
      waitingFor: prepared === null ? [] : this.#waitingFor(vr, prepared.digest),
    };
  }

  /** What people must know of a virtual router's configuration, on whichever node they ask. */
  warnings(vr: string): string[] {
    const told = this.#options.vrs().get(vr)?.configuration;
    if (told === undefined) return [];
    const { inForce, proposed } = this.#record(vr);
    const { running, prepared } = told;
    const lines: string[] = [];
    if (inForce !== undefined && running.digest !== inForce.digest) {
      const words = configurationDifference(running, inForce);
      lines.push(
        `this node has another configuration than the one in force: ${words}; \`koi reload\` when both are right`,
      );
    }
    const base = inForce ?? running;
    for (const { node, running: theirs } of this.#peers(vr)) {
      if (theirs === undefined || theirs.digest === base.digest) continue;
      lines.push(`${node} has another configuration than the one in force: ${configurationDifference(theirs, base)}`);
    }
    if (prepared !== null) {
      const who = this.#waitingFor(vr, prepared.digest).join(', ') || 'the log';
      lines.push(`waiting for ${who} to have the same configuration: ${configurationDifference(prepared, running)}`);
    }
    for (const proposal of proposed) {
      if (proposal.digest === running.digest || proposal.digest === prepared?.digest) continue;
      const who = this.#record(vr).wishes.filter(({ digest }) => digest === proposal.digest);
      const names = who.map(({ node }) => node).join(', ');
      lines.push(`${names} proposes another configuration: ${configurationDifference(proposal, running)}`);
    }
    return lines;
  }

  #waitingFor(vr: string, digest: string): string[] {
    return waitingFor(this.#record(vr), digest, this.#peers(vr)).map(({ node }) => node);
  }

  // ── what this node knows ──────────────────────────────────────────────────────────────────────────────────────────

  #record(vr: string): ConfigurationRecord {
    return configurationOf(this.#options.state().configurations, vr);
  }

  #peers(vr: string): ConfigurationPeer[] {
    const { state, node: self, mayRun, hasJustSpoken } = this.#options;
    const { inForce, switchedBy } = this.#record(vr);
    const spokeAtMs = this.#seenAtMs(vr);
    const peers = [...state().nodes.values()].flatMap((record): ConfigurationPeer[] => {
      const configured = reportedBy(record, vr);
      if (configured === undefined || record.node === self || record.stopped) return [];
      if (!mayRun(record, record.node === switchedBy?.node ? spokeAtMs : Number.NEGATIVE_INFINITY)) return [];
      return [{ node: record.node, boot: record.boot, running: configured.configuration }];
    });
    if (switchedBy === undefined || switchedBy.node === self || !hasJustSpoken(spokeAtMs)) return peers;
    // What it says of itself may be on its way still, behind the end of its life before: an end that is read counts later.
    if (peers.some(({ node }) => node === switchedBy.node)) return peers;
    return [...peers, { ...switchedBy, running: inForce }];
  }

  /** When what is in force was first read here. */
  #seenAtMs(vr: string): number {
    const { version } = this.#record(vr);
    const errand = this.#errand(vr);
    if (errand.seen?.version !== version) errand.seen = { version, atMs: this.#options.clock().monotonicMs };
    return errand.seen.atMs;
  }

  #own({ vr, configuration }: VrStateMessage): OwnConfiguration | undefined {
    if (configuration === undefined) return undefined;
    const { running, prepared } = configuration;
    const { node, boot } = this.#options;
    const { forced } = this.#errand(vr);
    return { node, boot: boot(), running: running.digest, prepared: prepared?.digest, forced };
  }

  #mayBegin(vr: string): boolean {
    const ownership = ownershipOf(this.#options.state(), vr);
    return ownership === undefined || ownership.released || ownership.owner === this.#options.node;
  }

  // ── what it does ──────────────────────────────────────────────────────────────────────────────────────────────────

  #act(state: VrStateMessage, own: OwnConfiguration): void {
    const { vr } = state;
    const errand = this.#errand(vr);
    const record = this.#record(vr);
    if (errand.forced === record.inForce?.digest) errand.forced = undefined;
    this.#tellVerdict(state, record, own, errand);
    const step = nextConfigurationStep({ record, own, peers: this.#peers(vr), mayBegin: this.#mayBegin(vr) });
    if (step === undefined) return;
    if (step.type === 'apply') {
      if (errand.applied === step.digest) return;
      if (this.#options.send({ type: 'switchConfiguration', vr, digest: step.digest })) errand.applied = step.digest;
      return;
    }
    errand.applied = undefined;
    const hasRead = this.#options.state().sequence >= errand.awaits && record.sequence !== errand.refusedAt;
    if (errand.isAppending || errand.isHeld || !hasRead || !this.#turns.mayBegin(vr)) return;
    void this.#append(state, step, record, errand).finally(() => this.#turns.ended());
  }

  #tellVerdict(state: VrStateMessage, record: ConfigurationRecord, own: OwnConfiguration, errand: Errand): void {
    const differs = differsFromForce(record, own);
    if (errand.told !== differs && this.#options.send({ type: 'configuration', vr: state.vr, differs })) {
      errand.told = differs;
    }
    if (errand.differs === differs) return;
    errand.differs = differs;
    const running = state.configuration?.running;
    const words =
      differs && running !== undefined && record.inForce !== undefined
        ? configurationDifference(running, record.inForce)
        : undefined;
    this.#options.onDiffers(state.vr, words);
  }

  async #append(state: VrStateMessage, step: Append, record: ConfigurationRecord, errand: Errand): Promise<void> {
    const { log, newEventId, cluster, node, boot, clock } = this.#options;
    const payload = newsOf(step, state);
    if (payload === undefined) return;
    errand.isAppending = true;
    const { wallMs, monotonicMs } = clock();
    const event: ConfigurationEvent = {
      id: newEventId(),
      cluster,
      node,
      boot: boot(),
      wallTimeMs: wallMs,
      monotonicMs,
      vr: state.vr,
      payload,
    };
    // Everything is said with the expectation: what was said meanwhile may make it needless, or wrong.
    const expect = { lastSubjectSequence: record.sequence };
    const result = await log.append(event, { expect, deadlineMs: appendDeadlineMs });
    errand.isAppending = false;
    this.#answered(state.vr, result, record, errand);
  }

  #answered(vr: string, result: AppendResult, record: ConfigurationRecord, errand: Errand): void {
    switch (result.kind) {
      case 'stored':
        errand.awaits = result.sequence;
        this.#lookAt(vr);
        return;
      case 'conflict':
      case 'unavailable':
        errand.refusedAt = record.sequence;
        this.#later(vr, errand);
        return;
    }
  }

  #later(vr: string, errand: Errand): void {
    this.#after(retryAfterMs, () => {
      errand.refusedAt = undefined;
      this.#lookAt(vr);
    });
  }

  #after(delayMs: number, action: () => void): void {
    const callOff = this.#options.timers.after(delayMs, () => {
      this.#waits.delete(callOff);
      action();
    });
    this.#waits.add(callOff);
  }

  #errand(vr: string): Errand {
    const known = this.#errands.get(vr);
    if (known !== undefined) return known;
    const made: Errand = {
      awaits: 0,
      refusedAt: undefined,
      isAppending: false,
      applied: undefined,
      told: undefined,
      forced: undefined,
      seen: undefined,
      differs: false,
      isHeld: false,
    };
    this.#errands.set(vr, made);
    return made;
  }
}

/** What to append; undefined where the dataplane has described something else meanwhile. */
function newsOf(step: Append, { configuration }: VrStateMessage): ConfigurationNews | undefined {
  const { version } = step;
  if (step.type === 'withdraw') return { type: 'configWithdrawn', version };
  if (step.type === 'acknowledge') return { type: 'configAcknowledged', version, digest: step.digest };
  const known: (SharedConfiguration | null | undefined)[] = [configuration?.prepared, configuration?.running];
  const meant = known.find((one) => one?.digest === step.digest);
  if (meant === null || meant === undefined) return undefined;
  return step.type === 'propose'
    ? { type: 'configProposed', version, configuration: meant }
    : { type: 'configSwitched', version, configuration: meant, reason: step.reason };
}
