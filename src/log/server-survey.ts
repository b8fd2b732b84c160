import type { NatsLink } from './nats-link.js';
import { probeServer, type ServerInfo } from './nats-server/probe.js';
import type { Listen } from './nats-server/settings.js';
import { judgeServer } from './server-version.js';
import { type LogTimers, realTimers } from './timers.js';

/** A cluster of the log has three or five. */
const serversMax = 16;
const answerMs = 1_000;
/** A server may be replaced by an older one while the connection to another stands. */
const againMs = 60_000;
/** While one is unfit, or in doubt: it is being replaced, as it was asked for. */
const doubtfulAgainMs = 5_000;
const clientPort = 4222;

/** What is wrong with the servers that this node is not connected to. */
export interface SurveyVerdict {
  readonly unfit?: string;
  readonly warnings: readonly string[];
}

export interface ServerSurveyOptions {
  readonly link: Pick<NatsLink, 'servers' | 'listen'>;
  readonly onChange: () => void;
  readonly probe?: (listen: Listen, deadlineMs: number) => Promise<ServerInfo | undefined>;
  readonly timers?: LogTimers;
}

/**
 * Asks every server of the log that is known for its version, on each connection and now and then: any of a cluster may
 * come to lead the stream, and the version of another than the connected one is told nowhere. One that does not answer in
 * time is not judged, since it leads nothing at present either.
 */
export class ServerSurvey {
  readonly #options: ServerSurveyOptions;
  readonly #timers: LogTimers;
  readonly #stopListening: () => void;
  #verdict: SurveyVerdict = { warnings: [] };
  /** Counts the connections' comings and goings: an answer that belongs to a former one counts for nothing. */
  #epoch = 0;
  #callOff: () => void = () => undefined;

  constructor(options: ServerSurveyOptions) {
    this.#options = options;
    this.#timers = options.timers ?? realTimers;
    this.#stopListening = options.link.listen({
      onUp: (connection) => {
        this.#epoch += 1;
        void this.#look(this.#epoch, connection.info?.server_name);
      },
      onDown: () => this.#pause(),
    });
  }

  get verdict(): SurveyVerdict {
    return this.#verdict;
  }

  close(): void {
    this.#stopListening();
    this.#pause();
  }

  #pause(): void {
    this.#epoch += 1;
    this.#callOff();
  }

  /** @param connected its own verdict is known without a question */
  async #look(epoch: number, connected: string | undefined): Promise<void> {
    const { link, probe = probeServer, onChange } = this.#options;
    this.#callOff();
    const places = link.servers.slice(0, serversMax).flatMap(placeOf);
    const found = await Promise.all(
      places.map(async (listen) => ({ listen, info: await probe(listen, answerMs).catch(() => undefined) })),
    );
    if (epoch !== this.#epoch) return;
    const verdict = judgeMembers(found.filter(({ info }) => info?.name !== connected));
    const isNews = JSON.stringify(verdict) !== JSON.stringify(this.#verdict);
    this.#verdict = verdict;
    if (isNews) onChange();
    const isWell = verdict.unfit === undefined && verdict.warnings.length === 0;
    const laterMs = isWell ? againMs : doubtfulAgainMs;
    this.#callOff = this.#timers.after(laterMs, () => void this.#look(epoch, connected));
  }
}

function judgeMembers(
  found: readonly { readonly listen: Listen; readonly info: ServerInfo | undefined }[],
): SurveyVerdict {
  const judged = found.flatMap(({ listen, info }) =>
    info === undefined ? [] : [{ where: `${info.name} (${listen.host}:${listen.port})`, ...judgeServer(info) }],
  );
  const unfit = judged.find((each) => each.unfit !== undefined);
  return {
    ...(unfit === undefined ? {} : { unfit: `${unfit.where}: ${unfit.unfit}` }),
    warnings: judged.flatMap(({ where, warning }) => (warning === undefined ? [] : [`${where}: ${warning}`])),
  };
}

/** Of `nats://host:port`, or of `host:port` as the cluster tells it. */
function placeOf(server: string): Listen[] {
  const text = server.includes('://') ? server : `nats://${server}`;
  if (!URL.canParse(text)) return [];
  const { hostname, port } = new URL(text);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return host === '' ? [] : [{ host, port: port === '' ? clientPort : Number(port) }];
}
