import type { KoiConfig } from '../config/config.js';
import { digestOf, type Reread } from '../config/reread.js';
import { holdBack } from '../config/shared-configuration.js';
import type { ToAgent, ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import { KoiError } from '../koi-error.js';
import type { ServiceManager } from '../observe/service-manager.js';

type Guarded = Extract<ToDataplane, { type: 'reload' }>['guarded'][number];
type Reloaded = Extract<ToAgent, { type: 'reloaded' }>;

/** Virtual routers that begin anew hand over, run their hooks, and are made again. */
const answerTimeoutMs = 20_000;

/** Where the configuration comes from, and can be read again. */
export interface ConfigFile {
  readonly file: string;
  /** @throws KoiError naming every problem of the file */
  readonly reread: (current: KoiConfig) => Reread;
  /** Whoever started this process and wants to hear how it is. */
  readonly service?: ServiceManager | undefined;
}

/** The virtual routers whose configuration waits for the other nodes. */
export const waitingIn = (vrs: Iterable<VrStateMessage>): string[] =>
  [...vrs].flatMap(({ vr, configuration }) => (configuration?.prepared ? [vr] : []));

/** One reload at a time: the agent reads and refuses, the dataplane reads and applies. */
export class ReloadDesk {
  readonly #source: ConfigFile;
  readonly #send: (message: ToDataplane) => boolean;
  #waiting: { readonly id: number; readonly finish: (answer: Reloaded) => void } | undefined;
  #id = 0;

  constructor(source: ConfigFile, send: (message: ToDataplane) => boolean) {
    this.#source = source;
    this.#send = send;
  }

  /**
   * @param guarded what may not be changed at once
   * @returns the configuration that is in force now, and how the dataplane came to it
   * @throws KoiError `config` for a file that is refused, `unreachable` without a dataplane, `timeout`
   */
  async reload(
    current: KoiConfig,
    guarded: readonly Guarded[] = [],
  ): Promise<{ readonly config: KoiConfig; readonly answer: Reloaded }> {
    if (this.#waiting !== undefined) {
      throw new KoiError('usage', 'another reload is under way', { remedy: 'try again when it has ended' });
    }
    const { config, digest } = this.#source.reread(current);
    const answer = await this.#ask(digest, guarded);
    if (answer.problem !== null) throw new KoiError('config', answer.problem);
    return { config: holdBack(config, current, waitingIn(answer.vrs)), answer };
  }

  /** What the file says, less what waits, if that is what the dataplane runs with; otherwise why not. */
  match(current: KoiConfig, digest: string, vrs: Iterable<VrStateMessage> = []): KoiConfig | string {
    const { file, reread } = this.#source;
    try {
      const read = reread(current);
      const config = holdBack(read.config, current, waitingIn(vrs));
      const isIt = read.digest === digest || digestOf(config) === digest;
      return isIt ? config : `${file} is not what the dataplane runs with; \`koi reload\` applies it`;
    } catch (error) {
      return `${file} cannot be applied: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Whether it was the answer to a question asked here. */
  answered(answer: Reloaded): boolean {
    if (this.#waiting === undefined || answer.id !== this.#waiting.id) return false;
    this.#waiting.finish(answer);
    return true;
  }

  #ask(digest: string, guarded: readonly Guarded[]): Promise<Reloaded> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
        act();
      };
      const timer = setTimeout(() => {
        settle(() => reject(new KoiError('timeout', `the dataplane did not answer within ${answerTimeoutMs} ms`)));
      }, answerTimeoutMs);
      this.#waiting = { id, finish: (answer) => settle(() => resolve(answer)) };
      if (this.#send({ type: 'reload', id, digest, guarded: [...guarded] })) return;
      const remedy = 'see its log; a dataplane that starts reads the file by itself';
      settle(() => reject(new KoiError('unreachable', 'the dataplane is not connected', { remedy })));
    });
  }
}
