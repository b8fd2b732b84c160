import {
  type ExpectedMoves,
  expectedMoves,
  nextStep,
  type RolloutPod,
  type RolloutStep,
  type RolloutView,
  rolloutOrder,
  routersOf,
  unsettled,
} from '../core/rollout.js';
import { KoiError } from '../koi-error.js';
import type { ApiServer, DaemonPod, DaemonSet } from './api-server.js';
import type { askNode } from './node-status.js';

const lookEveryMs = 1_000;
/** A virtual router that is just moving has a master again within so long; one that nobody can serve holds nothing up. */
const settleMs = 10_000;
/** Somebody waits for what is only shown: a `kubectl proxy` that was started just before answers by then. */
const showWithinMs = 2_000;

export interface RolloutPlace {
  readonly cluster: Pick<ApiServer, 'namespace' | 'daemonSet' | 'newestRevision' | 'pods' | 'deletePod'>;
  readonly askNode: typeof askNode;
  readonly say: (line: string) => void;
  readonly pause: (ms: number) => Promise<unknown>;
  /** On a monotonic clock. */
  readonly nowMs: () => number;
  /** Since 1970. */
  readonly wallNowMs: () => number;
}

export interface RolloutOptions {
  readonly daemonSet: string;
  readonly port: number;
  /** From one pod's deletion until the next may be deleted. */
  readonly nodeTimeoutMs: number;
  readonly dryRun: boolean;
}

export interface ReplacedPod {
  readonly node: string;
  readonly pod: string;
  readonly masterOf: readonly string[];
}

export interface RolloutReport {
  readonly pods: number;
  /** In the order in which they were, or would be, replaced. */
  readonly replaced: readonly ReplacedPod[];
  readonly expectedMoves: readonly ExpectedMoves[];
  readonly tookMs: number;
}

/**
 * Replaces the pods that are not of the DaemonSet's newest revision, one node at a time. It remembers nothing that a
 * second run would need.
 *
 * @throws KoiError 'timeout' where a node does not come back in time, with what it waits for
 */
export async function rollOut(place: RolloutPlace, options: RolloutOptions): Promise<RolloutReport> {
  return new Rollout(place, options).run();
}

/** What the cluster looks like, or what keeps it from being seen for now. */
type Look =
  | { readonly view: RolloutView; readonly problem?: undefined }
  | { readonly view?: undefined; readonly problem: Error };

class Rollout {
  readonly #place: RolloutPlace;
  readonly #options: RolloutOptions;
  readonly #name: string;
  readonly #replaced: (ReplacedPod & { readonly atMs: number })[] = [];
  /** When each pod was seen ready first: another node's clock may be wrong. */
  readonly #readySince = new Map<string, number>();
  #moves: ExpectedMoves[] | undefined;
  /** Since when the next one may take its time: the start, or the last deletion. */
  #fromMs = 0;
  #isBack = true;
  #said = '';

  constructor(place: RolloutPlace, options: RolloutOptions) {
    this.#place = place;
    this.#options = options;
    this.#name = `${options.daemonSet} in ${place.cluster.namespace}`;
  }

  async run(): Promise<RolloutReport> {
    const { nowMs, pause } = this.#place;
    const startMs = nowMs();
    this.#fromMs = startMs;
    for (;;) {
      const look = await this.#look();
      const isLate = nowMs() - startMs >= showWithinMs;
      if (this.#options.dryRun && isLate && look.problem instanceof KoiError) throw look.problem;
      const step = this.#next(look);
      if (step.kind === 'done') return this.#done(look.view?.pods.length ?? 0, nowMs() - startMs);
      if (step.kind === 'replace' && look.view !== undefined) {
        this.#announce(look.view);
        if (this.#options.dryRun) return this.#wouldDo(look.view);
      }
      const why = step.kind === 'replace' ? await this.#replace(step) : this.#waits(step);
      if (why !== undefined && nowMs() - this.#fromMs > this.#options.nodeTimeoutMs) {
        throw this.#timedOut(step.kind === 'wait' ? step.node : undefined, why, look.problem);
      }
      await pause(lookEveryMs);
    }
  }

  #next({ view, problem }: Look): RolloutStep {
    if (view === undefined) return { kind: 'wait', node: undefined, why: problem.message };
    const step = nextStep(view);
    if (step.kind === 'wait') return step;
    this.#cameBack();
    const moving = unsettled(view);
    if (step.kind === 'done' || moving.length === 0 || this.#place.nowMs() - this.#fromMs >= settleMs) return step;
    return { kind: 'wait', node: undefined, why: `${moving.join(', ')}: there is not one master` };
  }

  /** What may pass by itself is a problem for now; whatever else goes wrong is thrown. */
  async #look(): Promise<Look> {
    try {
      return await this.#read();
    } catch (error) {
      if (error instanceof KoiError && error.code === 'unreachable') return { problem: error };
      throw error;
    }
  }

  async #read(): Promise<Look> {
    const { cluster, askNode } = this.#place;
    const set = await cluster.daemonSet(this.#options.daemonSet);
    if (set.spec.updateStrategy.type !== 'OnDelete') {
      throw new KoiError('config', `${this.#name} has the updateStrategy ${set.spec.updateStrategy.type}`, {
        remedy:
          'its own controller replaces the pods then, in an order of its own: set OnDelete (rollout.enabled=true)',
      });
    }
    if (set.status.observedGeneration < set.metadata.generation) {
      return { problem: new Error('the controller of DaemonSets has not seen the newest template yet') };
    }
    const revision = await cluster.newestRevision(set);
    if (revision === undefined) return { problem: new Error('there is no revision of the DaemonSet yet') };
    const pods = await cluster.pods(set);
    const asked = await Promise.all(
      pods.map(async (pod) => {
        const { node, hostAddress } = pod;
        const silent = { word: { kind: 'silent' as const, why: 'its address is not known yet' }, status: undefined };
        return { pod, ...(hostAddress === undefined ? silent : await askNode(node, hostAddress, this.#options.port)) };
      }),
    );
    const view: RolloutView = {
      desired: set.status.desiredNumberScheduled,
      pods: asked.map(({ pod, word }): RolloutPod => {
        const { name, uid, node, isEnding } = pod;
        return {
          name,
          uid,
          node,
          isEnding,
          word,
          isNewest: pod.revision === revision,
          isReady: this.#isReady(pod, set),
        };
      }),
      routers: routersOf(
        pods.map(({ node }) => node),
        asked.flatMap(({ status }) => status ?? []),
      ),
    };
    return { view };
  }

  #isReady({ uid, readySinceMs }: DaemonPod, { spec }: DaemonSet): boolean {
    const { nowMs, wallNowMs } = this.#place;
    if (readySinceMs === undefined) {
      this.#readySince.delete(uid);
      return false;
    }
    const seenMs = this.#readySince.get(uid) ?? nowMs();
    this.#readySince.set(uid, seenMs);
    return Math.max(wallNowMs() - readySinceMs, nowMs() - seenMs) >= spec.minReadySeconds * 1_000;
  }

  /** @returns why nothing came of it, where it is to be looked at again first */
  async #replace({ pod, masterOf }: RolloutStep & { kind: 'replace' }): Promise<string | undefined> {
    const { cluster, nowMs, say } = this.#place;
    const { node, name } = pod;
    say(`${node}: replacing ${name}, master of ${masterOf.join(', ') || 'nothing'}`);
    try {
      if (!(await cluster.deletePod(pod))) return this.#waits({ node, why: `${name} is gone already` });
    } catch (error) {
      if (!(error instanceof KoiError) || error.code !== 'unreachable') throw error;
      // It may have been deleted all the same: the next look tells.
      return this.#waits({ node, why: error.message });
    }
    this.#fromMs = nowMs();
    this.#replaced.push({ node, pod: name, masterOf, atMs: this.#fromMs });
    this.#isBack = false;
    return undefined;
  }

  /** Once, before anything is done: what is to come. */
  #announce(view: RolloutView): void {
    if (this.#moves !== undefined) return;
    this.#moves = expectedMoves(view);
    const { say } = this.#place;
    const order = rolloutOrder(view);
    say(`${this.#name}: ${order.length} of ${view.pods.length} pods are to be replaced, one node at a time`);
    say(`order, as masters are now: ${order.map(({ node }) => node).join(', ')}`);
    if (this.#moves.length === 0) say('moves expected: none, no virtual router is known');
    for (const { vr, moves, why } of this.#moves) {
      say(`moves expected of ${vr}: ${moves}${why === '' ? '' : ` (${why})`}`);
    }
  }

  /** Says it once, and returns it. */
  #waits({ node, why }: { readonly node: string | undefined; readonly why: string }): string {
    const line = `${node === undefined ? '' : `${node}: `}${why}`;
    if (line !== this.#said) this.#place.say(`waiting: ${line}`);
    this.#said = line;
    return why;
  }

  #cameBack(): void {
    const last = this.#replaced.at(-1);
    if (last === undefined || this.#isBack) return;
    this.#isBack = true;
    this.#place.say(`${last.node}: ready again after ${seconds(this.#place.nowMs() - last.atMs)}`);
  }

  #done(pods: number, tookMs: number): RolloutReport {
    const count = this.#replaced.length;
    const text =
      count === 0
        ? `nothing to do, all ${pods} pods are of the newest revision and well`
        : `done, ${count} of ${pods} pods replaced in ${seconds(tookMs)}; all are of the newest revision and well`;
    this.#place.say(`${this.#name}: ${text}`);
    return { pods, replaced: this.#list(), expectedMoves: this.#moves ?? [], tookMs };
  }

  #wouldDo(view: RolloutView): RolloutReport {
    const replaced = rolloutOrder(view).map(({ node, name }) => ({
      node,
      pod: name,
      masterOf: view.routers.filter(({ masters }) => masters.includes(node)).map((router) => router.name),
    }));
    return { pods: view.pods.length, replaced, expectedMoves: this.#moves ?? [], tookMs: 0 };
  }

  #list(): ReplacedPod[] {
    return this.#replaced.map(({ node, pod, masterOf }) => ({ node, pod, masterOf }));
  }

  #timedOut(node: string | undefined, why: string, cause: Error | undefined): KoiError {
    const { namespace } = this.#place.cluster;
    const where = node === undefined ? this.#name : `${this.#name}, node ${node}`;
    const count = this.#replaced.length;
    const look =
      node === undefined
        ? `kubectl -n ${namespace} describe daemonset ${this.#options.daemonSet}`
        : `kubectl -n ${namespace} get pods -o wide --field-selector spec.nodeName=${node}, and the log of its pods`;
    return new KoiError(
      cause instanceof KoiError ? cause.code : 'timeout',
      `${where}: stopped after ${seconds(this.#options.nodeTimeoutMs)}, ${count} replaced so far: ${why}`,
      {
        remedy:
          `no further pod was touched. Look at ${look}; then run it again (helm upgrade with the same values): it goes ` +
          'on where it stopped. helm rollback goes back',
        cause,
      },
    );
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
