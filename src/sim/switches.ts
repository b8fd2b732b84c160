import type { KoiEvent } from '../log/event.js';
import type { Scene } from './scene.js';

/** How often configurations may come into force: whenever the node that wanted the one before is gone, the other may follow. */
const switchesMax = (edits: number): number => 3 * edits;

/** Which configuration nodes run, and how often another one comes into force. */
export class Switches {
  readonly #scene: Pick<Scene, 'nodes' | 'tally' | 'violated'>;
  /** Nodes with another configuration than the one in force, by virtual router. */
  readonly #barred = new Set<string>();
  /** By virtual router: how often its files were edited, and how often it was switched. */
  readonly #edits = new Map<string, number>();
  readonly #switches = new Map<string, number>();

  constructor(scene: Pick<Scene, 'nodes' | 'tally' | 'violated'>) {
    this.#scene = scene;
  }

  barred(node: number, vr: string, isBarred: boolean): void {
    if (isBarred) this.#barred.add(`${vr} ${node}`);
    else this.#barred.delete(`${vr} ${node}`);
  }

  /** The node would take the virtual router over. */
  candidate(node: number, vr: string): void {
    if (!this.#barred.has(`${vr} ${node}`)) return;
    this.#scene.violated('configured', `n${node + 1} takes ${vr} over with another configuration`);
  }

  /** The file of one node says another configuration. */
  edited(vr: string): void {
    this.#edits.set(vr, (this.#edits.get(vr) ?? 0) + 1);
  }

  /** The log has one more event of a virtual router. */
  stored(vr: string, { payload }: KoiEvent): void {
    if (payload.type !== 'configSwitched' || payload.version <= 1) return;
    this.#scene.tally.switches += 1;
    const switches = (this.#switches.get(vr) ?? 0) + 1;
    this.#switches.set(vr, switches);
    const edits = this.#edits.get(vr) ?? 0;
    if (switches <= switchesMax(edits)) return;
    const edited = `its files were edited ${edits} times`;
    this.#scene.violated('switches', `${vr} has been switched ${switches} times, and ${edited}`);
  }

  /** Everything is read once more. */
  logReset(): void {
    this.#switches.clear();
  }

  /** With all faults gone. */
  finish(vr: string): void {
    for (const node of this.#scene.nodes) {
      const router = node.dataplane?.routers.get(vr);
      if (router === undefined) continue;
      const [runs, wanted] = [router.configuration.digest, node.fileOf(vr).digest];
      if (runs !== wanted) this.#scene.violated('configured', `${node.id} runs ${runs}, and its file says ${wanted}`);
      if (router.isBarredByConfiguration) {
        this.#scene.violated('configured', `${node.id} is barred from ${vr} for its configuration, ${runs}`);
      }
    }
  }
}
