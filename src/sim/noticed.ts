import { isObservation, type KoiEvent } from '../log/event.js';
import type { StoredEvent } from '../log/port.js';
import type { Contact } from './contact.js';
import type { Scene } from './scene.js';
import { type PastDouble, SplitBrainReports, toldFromMs } from './split-brain-reports.js';
import { ToldInTime, toldWithinMs } from './told-in-time.js';

/** Whether two that held at once are told of, in time and in the end, and no other two. */
export class Noticed {
  readonly #scene: Scene;
  readonly #contact: Contact;
  readonly #past: PastDouble[] = [];
  readonly #reports: SplitBrainReports;
  readonly #toldInTime: ToldInTime;

  constructor(scene: Scene, contact: Contact) {
    this.#scene = scene;
    this.#contact = contact;
    this.#reports = new SplitBrainReports((idOrAddress) => scene.indexOf(idOrAddress));
    this.#toldInTime = new ToldInTime((node) => scene.nodes[node]);
  }

  /** A node hears another master while it serves. */
  splitBrain(node: number, vr: string, began: boolean): void {
    const { nodes, tally, nowMs } = this.#scene;
    if (!began) {
      this.#reports.heardNoMore(node, vr, nowMs);
      return;
    }
    tally.splitBrains += 1;
    this.#reports.heard(node, vr, nodes[node]?.clock.monotonicMs() ?? 0, nowMs);
  }

  fenced(node: number): void {
    this.#reports.fenced(node, this.#scene.nowMs);
  }

  /** A process died with news that nobody else has: what it alone knew of is excused. */
  lostNews(node: number): void {
    this.#reports.died(node, this.#scene.nowMs);
  }

  agentEnded(node: number): void {
    this.#reports.agentEnded(node, this.#scene.nowMs);
  }

  /** Its monotonic clock stands still: what is bound to it is blurred. */
  clockStopped(node: number): void {
    this.#reports.clockStopped(node, this.#scene.nowMs);
  }

  /** Its agent reads the log from the beginning. */
  readsAnew(node: number): void {
    this.#toldInTime.readsAnew(node);
  }

  /** Its agent has read one more event of the log, or a lease. */
  read(node: number, { event }: StoredEvent): void {
    const by = event === undefined ? undefined : this.#scene.indexOf(event.node);
    if (event !== undefined && by !== undefined) this.#toldInTime.read(node, by, event);
  }

  /** The log has one more event. */
  stored(event: KoiEvent): void {
    if (!isObservation(event)) return;
    this.#reports.stored(event);
    const by = this.#scene.indexOf(event.node);
    if (by !== undefined) this.#toldInTime.stored(by, event);
  }

  logReset(): void {
    this.#reports.logReset(this.#scene.nowMs);
  }

  /** Two have held at once, and do no more. */
  ended(past: PastDouble): void {
    this.#past.push(past);
    if (past.countedMs <= toldFromMs) return;
    this.#toldInTime.ended(past, (node) => this.#scene.nodes[node]?.addresses.has(past.vr) === true);
  }

  lookAtNodes(): void {
    const { nodes, nowMs } = this.#scene;
    const { isLogWell } = this.#contact;
    nodes.forEach((node, index) => {
      this.#reports.runs(index, node.dataplane === undefined || node.isAwake, nowMs);
      this.#reports.hearsLog(index, isLogWell && node.hearsLog, nowMs);
      this.#toldInTime.hearsLog(index, isLogWell && node.hearsLog);
    });
  }

  holds(vr: string, node: number, isHeld: boolean): void {
    this.#reports.holds(vr, node, isHeld, this.#scene.nowMs);
  }

  demandInTime(): void {
    const late = this.#toldInTime.late(
      this.#scene.nowMs,
      (past) => this.#reports.isTold(past),
      (past) => this.#reports.excuse(past),
    );
    if (late === undefined) return;
    const since = `within ${toldWithinMs} ms of n${late.node + 1} having read what both told`;
    this.#scene.violated('noticed', `nobody told, ${since}, that ${wordsOf(late.past)}`);
  }

  finish(): void {
    const { tally } = this.#scene;
    const untold = this.#reports.untold(this.#past);
    if (untold !== undefined) this.#scene.violated('noticed', `nobody told that ${wordsOf(untold)}`);
    const falseAlarm = this.#reports.falseAlarm();
    if (falseAlarm !== undefined) this.#scene.violated('noticed', falseAlarm);
    const { told, excused } = this.#reports.count(this.#past);
    tally.doublesTold += told;
    tally.doublesExcused += excused;
  }
}

const wordsOf = ({ vr, pair: [a, b], sinceMs, countedMs }: PastDouble): string =>
  `n${a + 1} and n${b + 1} held ${vr} for ${Math.round(countedMs)} ms from ${Math.round(sinceMs)} ms on`;
