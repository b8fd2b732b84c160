import type { Logger } from 'pino';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { diffConfig } from '../config/diff.js';
import type { Reread } from '../config/reread.js';
import type { ToDataplane } from '../ipc/protocol.js';
import { KoiError } from '../koi-error.js';
import type { ServiceManager } from '../observe/service-manager.js';
import type { AgentServer } from './agent-server.js';
import type { ConfigurationStage, PreparedRouter, ReloadPlan } from './configuration-stage.js';
import { applyReload, type ReloadTarget } from './reload.js';
import type { VirtualRouter } from './virtual-router.js';

/** Where the configuration comes from, and can be read again. */
export interface ConfigSource {
  /** Of the configuration that was read first. */
  readonly digest: string;
  /** @throws KoiError naming every problem of the file */
  readonly reread: (current: KoiConfig) => Promise<Reread>;
  /** Whoever started this process and wants to hear how it is. */
  readonly service?: ServiceManager | undefined;
}

type ReloadOrder = Pick<Extract<ToDataplane, { type: 'reload' }>, 'id' | 'digest' | 'guarded'>;

export interface ReloadsOptions {
  readonly source: ConfigSource;
  readonly stage: ConfigurationStage;
  /** In force. */
  readonly config: () => KoiConfig;
  readonly routers: ReadonlyMap<string, Pick<VirtualRouter, 'name' | 'shared' | 'setWaiting' | 'describe'>>;
  readonly target: ReloadTarget;
  /** @throws KoiError where this host lacks what a virtual router needs */
  readonly demandMeans: (config: VirtualRouterConfig) => void;
  readonly agent: () => Pick<AgentServer, 'send'> | undefined;
  readonly log: Logger;
}

/** Other configurations that are put into force while all goes on, one after the other. */
export class Reloads {
  readonly #options: ReloadsOptions;
  #digest: string;
  #applying: Promise<void> = Promise.resolve();
  /** Of the configuration that is being put into force. */
  #prepared: ReadonlyMap<string, PreparedRouter> = new Map();

  constructor(options: ReloadsOptions) {
    this.#options = options;
    this.#digest = options.source.digest;
  }

  /** Of the configuration in force. */
  get digest(): string {
    return this.#digest;
  }

  /** The configuration that was read first, before anything runs. @throws KoiError where a secret cannot be read */
  async prepareFirst(): Promise<void> {
    const { stage, config } = this.#options;
    this.#prepared = await stage.prepareAll(config().virtualRouters);
  }

  /** @throws KoiError `internal` where it has not been prepared */
  preparedOf({ name }: VirtualRouterConfig): PreparedRouter {
    const prepared = this.#prepared.get(name);
    if (prepared === undefined) throw new KoiError('internal', `${name} is put into force without being prepared`);
    return prepared;
  }

  /**
   * Reads the configuration again, aside, and applies what changed; the agent is told how it went. Never rejects.
   * @param asked by whom; undefined for a signal, which is the agent's matter where there is one
   */
  async reload(asked?: ReloadOrder): Promise<void> {
    const { source, stage, config, routers, demandMeans, agent } = this.#options;
    if (asked === undefined && agent()?.send({ type: 'reloadAsked' }) === true) return;
    await this.#putIntoForce(asked?.id ?? null, async () => {
      const read = await source.reread(config());
      if (asked !== undefined && read.digest !== asked.digest) {
        throw new KoiError('config', 'the file has changed since the agent read it; try again');
      }
      const plan = await stage.plan(read, config(), (vr) => routers.get(vr)?.shared, asked?.guarded);
      for (const { config: waiting } of plan.waiting) demandMeans(waiting);
      return plan;
    });
  }

  /** All nodes of a virtual router have prepared the same, and it is in force from now on. */
  switch(vr: string, digest: string): void {
    const { stage, config, log } = this.#options;
    void this.#putIntoForce(null, async () => {
      const plan = stage.release(vr, digest, config(), diffConfig);
      if (plan === undefined) throw new KoiError('config', `${vr}: what is in force now is not what waits here`);
      log.info({ vr, configuration: digest }, 'switching to the configuration that is in force on all nodes now');
      return plan;
    });
  }

  async #putIntoForce(id: number | null, plan: () => Promise<ReloadPlan>): Promise<void> {
    const turn = this.#applying.then(() => this.#apply(id, plan));
    this.#applying = turn;
    await turn;
  }

  /** Tells the agent how it went; never rejects. */
  async #apply(id: number | null, plan: () => Promise<ReloadPlan>): Promise<void> {
    const { source, routers, agent, log } = this.#options;
    source.service?.reloading();
    const outcome = await this.#tryApply(plan).catch((error: unknown) => ({
      problem: error instanceof Error ? error.message : String(error),
      changes: [],
      warnings: [],
    }));
    source.service?.ready();
    const { problem, changes, warnings } = outcome;
    if (problem === null) log.info({ changes, warnings }, 'the configuration has been read again and is in force');
    else log.error({ problem }, 'the configuration was not applied; the one before stays in force');
    const vrs = [...routers.values()].map((router) => router.describe());
    const digest = this.#digest;
    agent()?.send({ type: 'reloaded', id, digest, problem, changes: [...changes], warnings: [...warnings], vrs });
  }

  async #tryApply(plan: () => Promise<ReloadPlan>) {
    const { stage, config, routers, target } = this.#options;
    const { read, routers: prepared, waiting } = await plan();
    this.#prepared = prepared;
    const warnings = await applyReload(read, config(), target);
    stage.keep(waiting);
    for (const router of routers.values()) router.setWaiting(stage.waiting(router.name));
    this.#digest = read.digest;
    return { problem: null, changes: read.changes, warnings };
  }
}
