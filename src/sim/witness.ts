import type { Candidacy } from '../core/election-rules.js';
import type { Term } from '../core/identity.js';
import type { Effect, Vr } from '../core/vr-state.js';
import type { Finding } from '../log/audit-words.js';
import type { KoiEvent } from '../log/event.js';
import type { StoredEvent } from '../log/port.js';
import type { LogState } from '../log/projection.js';
import { Contact } from './contact.js';
import { HoldersTogether } from './holders-together.js';
import { LogLoss } from './log-loss.js';
import { NeedlessMoves } from './needless-moves.js';
import { Noticed } from './noticed.js';
import { Orphans } from './orphans.js';
import type { Violation } from './promises.js';
import { Scene } from './scene.js';
import { Settling } from './settling.js';
import type { SimulatedNode } from './simulated-node.js';
import { Switches } from './switches.js';
import type { Tally } from './tally.js';
import { Terms } from './terms.js';
import type { World } from './world.js';

/**
 * Looks at the whole world after each event, which no node can, and holds it against the promises. It keeps no rule of
 * the election, only what the promises say.
 */
export class Witness {
  readonly #scene: Scene;
  readonly #contact: Contact;
  readonly #terms: Terms;
  readonly #together: HoldersTogether;
  readonly #noticed: Noticed;
  readonly #orphans: Orphans;
  readonly #logLoss: LogLoss;
  readonly #moves: NeedlessMoves;
  readonly #switches: Switches;
  readonly #settling: Settling;
  #log: LogState | undefined;

  constructor(world: () => World, nodes: readonly SimulatedNode[], nodeCount: number) {
    const scene = new Scene(world, nodes);
    const contact = new Contact(scene, nodeCount);
    this.#scene = scene;
    this.#contact = contact;
    this.#terms = new Terms(scene, nodeCount);
    this.#noticed = new Noticed(scene, contact);
    this.#together = new HoldersTogether(scene, contact, (past) => this.#noticed.ended(past));
    this.#orphans = new Orphans(scene);
    this.#logLoss = new LogLoss(scene, contact);
    this.#moves = new NeedlessMoves(scene, contact);
    this.#switches = new Switches(scene);
    this.#settling = new Settling(scene);
  }

  get tally(): Tally {
    return this.#scene.tally;
  }

  get violation(): Violation | undefined {
    return this.#scene.violation;
  }

  // ── what nodes do ─────────────────────────────────────────────────────────────────────────────────────────────────

  sentAdvert(node: number, vr: string, candidacy: Candidacy, isHolding: boolean): void {
    const resigns = candidacy.kind === 'vrrp' && candidacy.priority === 0;
    if (resigns === isHolding) {
      const how = resigns ? 'with priority 0 while' : 'without';
      this.#scene.violated('attached', `n${node + 1} sent an advert of ${vr} ${how} holding it`);
    }
    if (resigns) this.#moves.resigned(node, vr);
  }

  announced(node: number, vr: string, isHolding: boolean): void {
    if (!isHolding) this.#scene.violated('attached', `n${node + 1} announced ${vr} without holding it`);
  }

  /** A node hears another master while it serves. */
  splitBrain(node: number, vr: string, began: boolean): void {
    this.#noticed.splitBrain(node, vr, began);
  }

  attaching(node: number, vr: string, owned: Term, machine: Vr): void {
    this.#logLoss.attaching(node, vr, machine);
    this.#terms.attaching(node, vr, owned, machine.parameters.boot);
  }

  diskIsSlow(node: number, isSlow: boolean): void {
    this.#terms.diskIsSlow(node, isSlow);
  }

  barred(node: number, vr: string, isBarred: boolean): void {
    this.#switches.barred(node, vr, isBarred);
  }

  moved(node: number, vr: string, { from, to, reason }: Extract<Effect, { type: 'transition' }>): void {
    const { tally } = this.#scene;
    tally.transitions += 1;
    if (to === 'fenced') this.#noticed.fenced(node);
    if (to === 'master' && from === 'candidate') tally.takeovers += 1;
    if (reason === 'handed_over') tally.handovers += 1;
    if (to !== 'candidate') return;
    this.#switches.candidate(node, vr);
    this.#moves.candidate(node, vr, reason);
  }

  /** A process died with news that nobody else has. */
  lostNews(node: number): void {
    this.#noticed.lostNews(node);
  }

  agentEnded(node: number): void {
    this.#noticed.agentEnded(node);
  }

  /** Its agent reads the log from the beginning. */
  readsAnew(node: number): void {
    this.#noticed.readsAnew(node);
  }

  /** Its agent has read one more event of the log, or a lease. */
  read(node: number, stored: StoredEvent): void {
    this.#noticed.read(node, stored);
  }

  /** Its monotonic clock stands still. */
  clockStopped(node: number): void {
    this.#noticed.clockStopped(node);
  }

  /** The file of one node says another configuration. */
  edited(vr: string): void {
    this.#switches.edited(vr);
  }

  // ── what the log says ─────────────────────────────────────────────────────────────────────────────────────────────

  /** One more event in the log; `state` is everything up to it. */
  stored(state: LogState, event: KoiEvent | undefined): void {
    this.#log = state;
    this.#terms.stored(state, event);
    if (event === undefined) return;
    this.#noticed.stored(event);
    const vr = 'vr' in event ? event.vr : undefined;
    if (vr === undefined) return;
    this.#switches.stored(vr, event);
    this.#together.stored(vr, event);
  }

  /** The log lost events, or is another: what it says now is judged by itself. */
  logReset(state: LogState): void {
    this.#log = state;
    this.#scene.tally.logResets += 1;
    this.#terms.logReset(state);
    this.#switches.logReset();
    this.#together.logReset();
    this.#noticed.logReset();
  }

  /** What the audit of the log found broken. */
  audited([first, ...more]: readonly Finding[]): void {
    if (first === undefined) return;
    const { what, node, vr, sequence, detail } = first;
    const others = more.length === 0 ? '' : `, and ${more.length} more`;
    const where = `${what} at ${sequence} of ${node ?? 'nobody'}, ${vr ?? 'no vr'}`;
    this.#scene.violated('recorded', `${where}: ${detail}${others}`);
  }

  // ── what everything looks like ────────────────────────────────────────────────────────────────────────────────────

  /** From now on there is one holder, always. */
  mustSettle(): void {
    this.#settling.mustSettle();
  }

  /** The LAN is broken for good: there may be two, or nobody that anybody hears. */
  needNotSettle(): void {
    this.#settling.needNotSettle();
  }

  /** From now on nothing changes any more, and no address should either. */
  mustRest(): void {
    this.#settling.mustRest();
  }

  observe(): boolean {
    this.#contact.look();
    this.#noticed.lookAtNodes();
    for (const { name, advertIntervalMs } of this.#scene.world.routers) this.#lookAt(name, advertIntervalMs);
    this.#noticed.demandInTime();
    return this.violation === undefined;
  }

  #lookAt(vr: string, advertIntervalMs: number): void {
    for (const node of this.#scene.nodes) {
      this.#noticed.holds(vr, node.index, node.addresses.has(vr));
      this.#orphans.look(vr, node);
      this.#logLoss.look(vr, node);
    }
    const holders = this.#scene.holders(vr);
    this.#settling.look(vr, holders);
    this.#together.look(vr, holders, advertIntervalMs);
  }

  /** At the end: what was noticed, and what the log has of it. */
  finish(): void {
    for (const { name } of this.#scene.world.routers) {
      this.#together.finish(name);
      this.#settling.finish(name, this.#log);
      if (this.#settling.isDue) this.#switches.finish(name);
    }
    this.#noticed.finish();
  }
}
