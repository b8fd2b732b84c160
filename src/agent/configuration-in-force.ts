import type { Logger } from 'pino';
import type { KoiConfig } from '../config/config.js';
import { digestOf } from '../config/reread.js';
import type { ToAgent } from '../ipc/protocol.js';
import type { ObservationPayload } from '../log/event.js';
import type { ConfigDesk } from './config-desk.js';
import type { OwnNode } from './own-node.js';
import { type ConfigFile, type ReloadDesk, waitingIn } from './reload-desk.js';

/** What a reload did, for people. */
export interface Reloaded {
  readonly file: string;
  /** What changed. */
  readonly changes: readonly string[];
  /** What could not be brought about. */
  readonly warnings: readonly string[];
  /** What waits for the other nodes. */
  readonly waiting: readonly string[];
  /** What the nodes have in common and was changed here all the same, a line each. */
  readonly remarks: readonly string[];
}

export interface ConfigurationInForceOptions {
  readonly node: OwnNode;
  readonly source: Pick<ConfigFile, 'file' | 'service'>;
  readonly reloads: Pick<ReloadDesk, 'reload' | 'match' | 'answered'>;
  readonly configurations: Pick<ConfigDesk, 'runningNow' | 'whileTakenBack' | 'guarded' | 'remarks' | 'force'>;
  readonly observe: (payload: ObservationPayload) => void;
  /** Another configuration is in force. `gone`: the virtual routers that it does not have any more. */
  readonly onAdopted: (gone: readonly string[]) => void;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Which configuration the agent goes by: the one that the dataplane runs with, which a reload changes. */
export class ConfigurationInForce {
  readonly #options: ConfigurationInForceOptions;
  #mismatch: string | undefined;

  constructor(options: ConfigurationInForceOptions) {
    this.#options = options;
  }

  /** The file is not what the dataplane runs with, and why. */
  get mismatch(): string | undefined {
    return this.#mismatch;
  }

  /**
   * Reads the configuration file again and has it applied, as a whole or not at all.
   * @param force what the nodes have in common is changed on this one without waiting for the others
   * @throws KoiError `config` naming every problem of the file, `unreachable` without a dataplane
   */
  async reload(force = false): Promise<Reloaded> {
    const { service } = this.#options.source;
    service?.reloading();
    try {
      return await this.#reload(force);
    } finally {
      service?.ready();
    }
  }

  async #reload(force: boolean): Promise<Reloaded> {
    const { node, source, reloads, configurations } = this.#options;
    const before = configurations.runningNow();
    const { config, answer } = force
      ? await reloads.reload(node.config)
      : await configurations.whileTakenBack(() =>
          reloads.reload(
            node.config,
            configurations.guarded((vr) => this.#mayWithoutLog(vr)),
          ),
        );
    const remarks = configurations.remarks(before, force);
    this.#adopt(config);
    this.#tellOf(answer.digest, answer.changes);
    if (force) configurations.force(answer.vrs);
    const { changes, warnings } = answer;
    return { file: source.file, changes, warnings, waiting: waitingIn(answer.vrs), remarks };
  }

  /** Without the log's word the operator may change here what the others have as well. */
  #mayWithoutLog(name: string): boolean {
    const router = this.#options.node.router(name);
    return router === undefined || router.arbitration === 'wire' || router.onLogLoss === 'wire';
  }

  /** The same, told to the log only. */
  async reloadOnSignal(): Promise<void> {
    const { log } = this.#options;
    try {
      const { changes, warnings, waiting, remarks } = await this.reload();
      log.info({ changes, warnings, waiting, remarks }, 'reloaded');
    } catch (error) {
      log.error({ err: error }, 'the configuration was not reloaded; the one before stays in force');
    }
  }

  /** The dataplane has read the file again: because it was asked to here, or by somebody else. */
  dataplaneReloaded(message: Extract<ToAgent, { type: 'reloaded' }>): void {
    if (this.#options.reloads.answered(message) || message.problem !== null) return;
    this.#tellOf(message.digest, message.changes);
    this.follow(message.digest);
  }

  /** The dataplane says what is in force: the file, or what the file said before. */
  follow(digest: string): void {
    const { node, reloads, log } = this.#options;
    this.#mismatch = undefined;
    if (digestOf(node.config) === digest) return;
    const found = reloads.match(node.config, digest, node.told.values());
    if (typeof found !== 'string') {
      this.#adopt(found);
      return;
    }
    this.#mismatch = found;
    log.warn(found);
  }

  #adopt(config: KoiConfig): void {
    this.#mismatch = undefined;
    this.#options.onAdopted(this.#options.node.adopt(config));
  }

  #tellOf(digest: string, changes: readonly string[]): void {
    if (changes.length > 0) this.#options.observe({ type: 'configApplied', digest, changes });
  }
}
