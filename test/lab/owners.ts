import {
  judgeOwnership,
  type OwnerChange,
  type OwnershipView,
  type OwnersSince,
  ownerHistory,
  ownersAt,
} from './ownership.js';
import { startLineTool, type Tool } from './tool.js';
import { type Topology, vip } from './topology.js';
import { waitUntil } from './wait.js';

/** Follows the kernels' own notifications of who holds the virtual IPs, in every router's namespace. */
export class Owners {
  readonly #tool: Tool;
  readonly #nameOf: ReadonlyMap<string, string>;
  readonly #changes = new Map<string, OwnerChange[]>();
  #ready = false;

  constructor(program: string, topology: Topology, addresses: readonly string[]) {
    this.#nameOf = new Map(topology.routers.map((router) => [router.netns, router.name]));
    for (const address of addresses) this.#changes.set(address, []);
    this.#tool = startLineTool(program, [...this.#nameOf.keys()], (line) => this.#take(line));
  }

  #take(line: string): void {
    const [ns, netns = '', verb, , address = ''] = line.split(' ');
    if (verb === 'ready') this.#ready = true;
    const router = this.#nameOf.get(netns);
    const changes = this.#changes.get(address);
    if (router === undefined || changes === undefined) return;
    changes.push({ atMs: Number(ns) / 1e6, router, holds: verb === 'add' });
    // The program reads one namespace after the other, so two lines may come in the wrong order.
    changes.sort((a, b) => a.atMs - b.atMs);
  }

  async ready(): Promise<void> {
    await waitUntil('the owners', () => this.#tool.failure() ?? (this.#ready ? undefined : 'no dump yet'), {
      deadlineMs: 5_000,
    });
  }

  /** Who holds a virtual IP now. */
  now(address: string = vip): string[] {
    const failure = this.#tool.failure();
    if (failure !== undefined) throw new Error(failure);
    return ownersAt(this.#of(address), Number.POSITIVE_INFINITY);
  }

  judge(fromMs: number, untilMs: number, address: string = vip): OwnershipView {
    return judgeOwnership(this.#of(address), fromMs, untilMs);
  }

  history(fromMs: number, untilMs: number, address: string = vip): OwnersSince[] {
    return ownerHistory(this.#of(address), fromMs, untilMs);
  }

  end(): void {
    this.#tool.end();
  }

  /** Forgets what is older, but not who holds the virtual IPs because of it. */
  forgetBefore(ms: number): void {
    for (const [address, changes] of this.#changes) {
      const holders = ownersAt(changes, ms).map((router) => ({ atMs: ms, router, holds: true }));
      this.#changes.set(address, [...holders, ...changes.filter((change) => change.atMs > ms)]);
    }
  }

  #of(address: string): readonly OwnerChange[] {
    return this.#changes.get(address) ?? [];
  }
}
