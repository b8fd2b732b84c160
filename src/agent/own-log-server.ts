import type { Logger } from 'pino';
import { logServerSocketPath } from '../ipc/log-server-message.js';
import { LeaderSteering, type SteeredStream } from '../log/leader-steering.js';
import type { AgentAlarms } from './agent-alarms.js';
import type { FoldedLog } from './folded-log.js';
import { LogServerWatch, type LogServerWatchOptions } from './log-server-watch.js';
import type { OwnNode } from './own-node.js';
import { steeringPlace } from './steering-place.js';

export interface OwnLogServerOptions {
  readonly node: Pick<OwnNode, 'name' | 'config' | 'told'>;
  readonly log: Pick<FoldedLog, 'state' | 'reachable'>;
  readonly streams: readonly SteeredStream[];
  readonly alarms: Pick<AgentAlarms, 'logServerDown' | 'logServerUp'>;
  readonly onChange: LogServerWatchOptions['onChange'];
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

/** Where Koi runs the log's servers itself: watches this node's, and keeps the log's leader off a master. */
export class OwnLogServer {
  readonly #options: OwnLogServerOptions;
  #watch: LogServerWatch | undefined;
  #steering: LeaderSteering | undefined;

  constructor(options: OwnLogServerOptions) {
    this.#options = options;
  }

  /** Undefined where the log's servers are somebody else's. */
  get watch(): LogServerWatch | undefined {
    return this.#watch;
  }

  start(): void {
    const { control, log } = this.#options.node.config;
    if (log.embedded === undefined) return;
    const { alarms, onChange } = this.#options;
    this.#watch = new LogServerWatch({
      path: logServerSocketPath(control),
      onDown: (why) => alarms.logServerDown(why),
      onUp: (outageMs) => alarms.logServerUp(outageMs),
      onChange,
    });
    if (log.embedded.cluster !== undefined) this.#steering = this.#steer();
  }

  stop(): void {
    this.#watch?.stop();
    this.#steering?.stop();
  }

  /** Servers run by Koi carry their nodes' names; whose others are is not known here, and they are left alone. */
  #steer(): LeaderSteering {
    const { node, log, streams, logger } = this.#options;
    return new LeaderSteering({
      streams,
      self: node.name,
      place: () => (log.reachable ? steeringPlace(node.name, node.told.values(), log.state, Date.now()) : undefined),
      onMoved: (stream, to) => logger.info({ stream, to }, 'moved the leader of the log away from this master'),
      onTrouble: (stream, error) => logger.warn({ stream, reason: error.message }, "the log's leader stays here"),
    });
  }
}
