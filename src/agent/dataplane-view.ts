import type { Ownership } from '../core/ownership.js';
import type { DataplanePort } from './dataplane-port.js';
import type { FoldedLog } from './folded-log.js';
import { LogViewer } from './log-view.js';
import type { OwnNode } from './own-node.js';

export interface DataplaneViewOptions {
  readonly node: Pick<OwnNode, 'name' | 'places' | 'routerNames'>;
  readonly log: Pick<FoldedLog, 'state' | 'reachable'>;
  readonly dataplane: Pick<DataplanePort, 'send' | 'up'>;
  readonly newest: (vr: string) => Ownership | undefined;
}

/** What the dataplane is told of the log: what is new to it, of the virtual routers of which something may be. */
export class DataplaneView {
  readonly #options: DataplaneViewOptions;
  #viewer: LogViewer;
  #touched = new Set<string>();

  constructor(options: DataplaneViewOptions) {
    this.#options = options;
    this.#viewer = this.#newViewer();
  }

  /** One that comes knows nothing of what the one before was told. */
  dataplaneCame(): void {
    this.#viewer = this.#newViewer();
  }

  /** The dataplane may have to be told something else of it. */
  touch(vr: string): void {
    this.#touched.add(vr);
  }

  touchAll(): void {
    for (const name of this.#options.node.routerNames) this.#touched.add(name);
  }

  /** @param isAll of all virtual routers, touched or not */
  tell(isAll: boolean): void {
    const { log, dataplane, newest } = this.#options;
    const touched = isAll ? undefined : this.#touched;
    this.#touched = new Set();
    // One that comes is told everything.
    if (!dataplane.up) return;
    const message = this.#viewer.next(log.state, log.reachable, newest, touched);
    if (message !== undefined) dataplane.send(message);
  }

  #newViewer(): LogViewer {
    const { node } = this.#options;
    return new LogViewer(node.name, (names) => node.places(names));
  }
}
