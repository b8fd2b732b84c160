import { judgeOwnership, type OwnerChange, type OwnershipView, ownersAt } from './ownership.js';
import { startLineTool, type Tool } from './tool.js';
import { type Topology, vip } from './topology.js';
import { waitUntil } from './wait.js';

/** Follows the kernels' own notifications of who holds the VIP, in every router's namespace. */
export class Owners {
  readonly #tool: Tool;
  readonly #nameOf: ReadonlyMap<string, string>;
  #changes: OwnerChange[] = [];
  #ready = false;

  constructor(program: string, topology: Topology) {
    this.#nameOf = new Map(topology.routers.map((router) => [router.netns, router.name]));
    this.#tool = startLineTool(program, [...this.#nameOf.keys()], (line) => this.#take(line));
  }

  #take(line: string): void {
    const [ns, netns = '', verb, , address] = line.split(' ');
    if (verb === 'ready') this.#ready = true;
    const router = this.#nameOf.get(netns);
    if (router === undefined || address !== vip) return;
    this.#changes.push({ atMs: Number(ns) / 1e6, router, holds: verb === 'add' });
    // The program reads one namespace after the other, so two lines may come in the wrong order.
    this.#changes.sort((a, b) => a.atMs - b.atMs);
  }

  async ready(): Promise<void> {
    await waitUntil('the owners', () => this.#tool.failure() ?? (this.#ready ? undefined : 'no dump yet'), {
      deadlineMs: 5_000,
    });
  }

  /** Who holds the VIP now. */
  now(): string[] {
    const failure = this.#tool.failure();
    if (failure !== undefined) throw new Error(failure);
    return ownersAt(this.#changes, Number.POSITIVE_INFINITY);
  }

  judge(fromMs: number, untilMs: number): OwnershipView {
    return judgeOwnership(this.#changes, fromMs, untilMs);
  }

  /** Forgets what is older, but not who holds the VIP because of it. */
  forgetBefore(ms: number): void {
    const holders = ownersAt(this.#changes, ms).map((router) => ({ atMs: ms, router, holds: true }));
    this.#changes = [...holders, ...this.#changes.filter((change) => change.atMs > ms)];
  }
}
