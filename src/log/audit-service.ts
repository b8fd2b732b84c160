import type { Report } from './audit-words.js';
import type { ObservationEvent } from './event.js';

/** How long two nodes may serve at once without breaking a promise, and by how much their clocks may differ. */
export interface AuditBounds {
  /** Two masters put each other right within an advert interval and a reaction. */
  readonly overlapMs: number;
  /** In a planned handover the old master lingers until the new one serves. */
  readonly handoverMs: number;
  readonly clockMs: number;
}

export const defaultBounds: AuditBounds = { overlapMs: 1000, handoverMs: 500, clockMs: 250 };

/** Times of service remembered for each virtual router: events of a node that was cut off come late. */
const servicesMax = 32;
const outagesMax = 16;

const attachOrder = [
  'parent',
  'guards',
  'link',
  'link_up',
  'registered',
  'duplicates',
  'addresses',
  'routes',
  'announce',
];

/** One node serving one virtual router, from one transition to another. */
interface Service {
  readonly id: number;
  readonly node: string;
  readonly boot: string;
  readonly term: number;
  readonly beganMs: number;
  readonly byHandover: boolean;
  /** Undefined while it goes on, or where nobody can say when it ended. */
  endedMs: number | undefined;
  /** The last sign that it did go on, where it ended without a word. */
  provenMs: number;
  /** Without the log's word. */
  provisional: boolean;
  handsOver: boolean;
  overslept: boolean;
}

interface Standing {
  readonly boot: string;
  readonly state: string;
  readonly monotonicMs: number;
  /** Whether the last takeover was one handed over. */
  readonly byHandover: boolean;
  readonly term: number | undefined;
}

interface Node {
  boot: string;
  /** The latest of what this run has told. */
  seenMs: number;
  /** When it could not reach the log, by its own clock; the last may be open. */
  readonly outages: { readonly fromMs: number; toMs: number }[];
}

/** What the nodes say they did: who served when, in which order, and with what right. */
export class ServiceAudit {
  readonly #bounds: AuditBounds;
  readonly #owned: (vr: string, term: number, node: string) => boolean | undefined;
  readonly #standings = new Map<string, Map<string, Standing>>();
  readonly #services = new Map<string, Service[]>();
  readonly #arbitrations = new Map<string, string>();
  readonly #nodes = new Map<string, Node>();
  readonly #told = new Set<string>();
  /** Nodes of which events are missing, so that nothing follows from what is not there; until they begin anew. */
  readonly #gappy = new Set<string>();
  readonly #partial: () => boolean;
  #ids = 0;

  constructor(
    bounds: AuditBounds,
    owned: (vr: string, term: number, node: string) => boolean | undefined,
    partial: () => boolean,
  ) {
    this.#bounds = bounds;
    this.#owned = owned;
    this.#partial = partial;
  }

  read(event: ObservationEvent, report: Report): void {
    const node = this.#node(event);
    switch (event.payload.type) {
      case 'transition':
        this.#moved(event, event.payload, report);
        return;
      case 'masterActive':
        this.#active(event, event.payload.steps, report);
        return;
      case 'provisionalTakeover':
        for (const service of this.#current(event) ?? []) service.provisional = true;
        return;
      case 'logLost':
        node.outages.push({ fromMs: event.wallTimeMs, toMs: Number.POSITIVE_INFINITY });
        if (node.outages.length > outagesMax) node.outages.shift();
        return;
      case 'logRejoined': {
        const last = node.outages.at(-1);
        if (last !== undefined) last.toMs = event.wallTimeMs;
        return;
      }
      case 'dataplaneLost':
      case 'nodeStopped':
        this.#endAll(event, report);
        return;
      case 'fenced':
        if (event.vr === undefined) this.#endAll(event, report);
        else this.#end(event.vr, event.node, event.wallTimeMs, report);
        return;
      case 'nodeStarted':
        for (const { name, arbitration } of event.payload.virtualRouters) {
          if (arbitration !== undefined) this.#arbitrations.set(name, arbitration);
        }
        return;
      case 'eventsDropped':
        this.#gappy.add(event.node);
        report('events_dropped', `${event.payload.count} of ${event.node}`);
        return;
      case 'logRegressed': {
        const { kind, expectedSequence, foundSequence } = event.payload;
        report('log_regressed', `${kind}: ${event.node} had read to ${expectedSequence} and found ${foundSequence}`);
        return;
      }
      default:
        return;
    }
  }

  /** Every event of a boot that serves is a sign that it goes on. */
  #node(event: ObservationEvent): Node {
    const known = this.#nodes.get(event.node);
    if (known === undefined) {
      const fresh: Node = { boot: event.boot, seenMs: event.wallTimeMs, outages: [] };
      this.#nodes.set(event.node, fresh);
      return fresh;
    }
    if (event.boot !== '' && known.boot !== event.boot) {
      known.boot = event.boot;
      this.#gappy.delete(event.node);
      // Of the run before nothing more is heard. When it ended, nobody says.
      for (const services of this.#services.values()) {
        for (const service of services) {
          if (service.node === event.node) service.endedMs ??= Math.max(service.provenMs, known.seenMs);
        }
      }
      known.seenMs = event.wallTimeMs;
    }
    known.seenMs = Math.max(known.seenMs, event.wallTimeMs);
    return known;
  }

  // ── the order of things ───────────────────────────────────────────────────────────────────────────────────────────

  #moved(
    event: ObservationEvent,
    { from, to, reason }: { readonly from: string; readonly to: string; readonly reason: string },
    report: Report,
  ): void {
    const { vr, node, boot, monotonicMs, wallTimeMs } = event;
    if (vr === undefined) return;
    const standings = this.#standings.get(vr) ?? new Map<string, Standing>();
    this.#standings.set(vr, standings);
    const before = standings.get(node);
    const isSameRun = before?.boot === boot;
    // Told twice, since the agent died before it could say that it had taken it.
    if (isSameRun && before.monotonicMs === monotonicMs && before.state === to) return;
    if (isSameRun && monotonicMs < before.monotonicMs) {
      report(
        'history_reordered',
        `${from} → ${to} (${reason}) happened before ${before.state}, which stands before it`,
      );
    } else if (!this.#gappy.has(node)) {
      const expected = isSameRun ? before.state : 'init';
      const isUnknown = !isSameRun && before === undefined && this.#partial();
      if (from !== expected && !isUnknown) {
        report('history_gap', `${from} → ${to} (${reason}), but ${node} was ${expected} before`);
      }
    }
    const takesByHandover = to === 'candidate' ? reason === 'handover' : (before?.byHandover ?? false);
    standings.set(node, { boot, state: to, monotonicMs, byHandover: takesByHandover, term: event.term });
    this.#serves(event, vr, to, takesByHandover, report);
    if (to === 'draining' && reason === 'handover') {
      for (const service of this.#current(event) ?? []) service.handsOver = true;
    }
    if (to !== 'master' && to !== 'draining') this.#end(vr, node, wallTimeMs, report, reason === 'overslept');
  }

  #active(event: ObservationEvent, steps: readonly { readonly name: string }[], report: Report): void {
    const { vr, node, boot, term } = event;
    if (vr === undefined || term === undefined) return;
    const standing = this.#standings.get(vr)?.get(node);
    const isKnown = standing?.boot === boot ? true : !this.#partial() && !this.#gappy.has(node);
    if (isKnown && !(standing?.boot === boot && standing.state === 'master')) {
      report(
        'active_before_attach',
        `${node} announced when it was ${standing?.boot === boot ? standing.state : 'init'}`,
      );
    } else if (standing?.boot === boot && event.monotonicMs < standing.monotonicMs) {
      report(
        'active_before_attach',
        `${node} announced ${Math.round(standing.monotonicMs - event.monotonicMs)} ms before it was attached`,
      );
    }
    const wrong = wrongStep(steps.map(({ name }) => name));
    if (wrong !== undefined) report('steps_out_of_order', wrong);
    const isProvisional = this.#current(event)?.some(({ provisional }) => provisional) ?? false;
    if (!isProvisional && !this.#gappy.has(node) && this.#owned(vr, term, node) === false) {
      report('active_without_claim', `${node} served with term ${term}`);
    }
  }

  // ── who served when ───────────────────────────────────────────────────────────────────────────────────────────────

  #serves(
    { node, boot, term, wallTimeMs }: ObservationEvent,
    vr: string,
    to: string,
    byHandover: boolean,
    report: Report,
  ): void {
    const services = this.#services.get(vr) ?? [];
    this.#services.set(vr, services);
    const open = services.find((service) => service.node === node && service.endedMs === undefined);
    if (open !== undefined) {
      open.provenMs = Math.max(open.provenMs, wallTimeMs);
      return;
    }
    if (to !== 'master') return;
    const service: Service = {
      id: this.#ids++,
      node,
      boot,
      term: term ?? 0,
      beganMs: wallTimeMs,
      byHandover,
      endedMs: undefined,
      provenMs: wallTimeMs,
      provisional: false,
      handsOver: false,
      overslept: false,
    };
    services.push(service);
    if (services.length > servicesMax) services.shift();
    this.#judge(vr, service, report);
  }

  #current({ vr, node, boot }: ObservationEvent): readonly Service[] | undefined {
    if (vr === undefined) return undefined;
    return this.#services.get(vr)?.filter((service) => service.node === node && service.boot === boot);
  }

  #end(vr: string, node: string, atMs: number, report: Report, overslept = false): void {
    for (const service of this.#services.get(vr) ?? []) {
      if (service.node !== node || service.endedMs !== undefined) continue;
      service.endedMs = atMs;
      service.overslept = overslept;
      this.#judge(vr, service, report);
    }
  }

  #endAll({ node, wallTimeMs }: ObservationEvent, report: Report): void {
    for (const vr of this.#services.keys()) this.#end(vr, node, wallTimeMs, report);
  }

  /** Compares one time of service with those of the other nodes that are known so far. */
  #judge(vr: string, service: Service, report: Report): void {
    const least = Math.min(this.#bounds.overlapMs, this.#bounds.handoverMs);
    for (const other of this.#services.get(vr) ?? []) {
      if (other.node === service.node) continue;
      const [earlier, later] = service.beganMs > other.beganMs ? [other, service] : [service, other];
      const fromMs = later.beganMs;
      // Whoever took over last serves until it says otherwise; the one before may be dead, and counts while it is heard.
      const toMs = Math.min(earlier.endedMs ?? this.#provenMs(earlier), later.endedMs ?? Number.POSITIVE_INFINITY);
      if (toMs - fromMs <= least) continue;
      const pair = `${vr} ${Math.min(service.id, other.id)} ${Math.max(service.id, other.id)}`;
      if (this.#told.has(pair)) continue;
      const isHandover = later.byHandover && (service.handsOver || other.handsOver);
      const boundMs = (isHandover ? this.#bounds.handoverMs : this.#bounds.overlapMs) + this.#bounds.clockMs;
      if (toMs - fromMs <= boundMs) continue;
      this.#tell(pair);
      const both = `${service.node} (term ${service.term}) and ${other.node} (term ${other.term})`;
      const excuse = this.#excuse(vr, service, other, fromMs, toMs);
      const text = `${both} both served ${vr} for ${Math.round(toMs - fromMs)} ms from ${new Date(fromMs).toISOString()}`;
      if (excuse === undefined) report('overlap', `${text}; the bound is ${boundMs} ms`);
      else report('overlap_explained', `${text}: ${excuse}`);
    }
  }

  #provenMs({ node, boot, provenMs }: Service): number {
    const known = this.#nodes.get(node);
    return known?.boot === boot ? Math.max(provenMs, known.seenMs) : provenMs;
  }

  /** The log has been read to its end: what still goes on is judged as far as it is known. */
  finish(reportOn: (vr: string) => Report): void {
    for (const [vr, services] of this.#services) {
      for (const service of services) if (service.endedMs === undefined) this.#judge(vr, service, reportOn(vr));
    }
  }

  /** `strict` knows none. */
  #excuse(vr: string, a: Service, b: Service, fromMs: number, toMs: number): string | undefined {
    const arbitration = this.#arbitrations.get(vr);
    if (arbitration === 'wire') return 'with arbitration: wire the protocol alone decides';
    const slept = [a, b].find(({ overslept }) => overslept);
    if (slept !== undefined) return `${slept.node} was not running`;
    if (arbitration === 'strict') return undefined;
    const provisional = [a, b].find((service) => service.provisional);
    if (provisional !== undefined) return `${provisional.node} served without the log's word`;
    const cut = [a, b].find(({ node }) =>
      this.#nodes.get(node)?.outages.some((outage) => outage.fromMs < toMs && outage.toMs > fromMs),
    );
    return cut === undefined ? undefined : `${cut.node} could not reach the log`;
  }

  #tell(pair: string): void {
    this.#told.add(pair);
    if (this.#told.size > 4096) this.#told.clear();
  }
}

/** A sentence where the announcement is not the last step, or an address comes before its link. */
function wrongStep(names: readonly string[]): string | undefined {
  const ranks = names.map((name) => attachOrder.indexOf(name));
  if (ranks.includes(-1)) return undefined;
  const announced = names.indexOf('announce');
  if (announced !== -1 && announced !== names.length - 1) return `announce comes before ${names[announced + 1]}`;
  if (announced === 0) return undefined;
  const first = ranks.findIndex((rank, index) => index > 0 && rank < (ranks[index - 1] ?? 0) && rank !== 0);
  return first === -1 ? undefined : `${names[first]} comes after ${names[first - 1]}`;
}
