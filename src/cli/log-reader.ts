import { loadConfig } from '../config/load.js';
import { KoiError } from '../koi-error.js';
import type { EventLog } from '../log/port.js';
import type { LogNames } from '../log/subjects.js';
import type { Status } from '../observe/status.js';
import { ControlClient } from './control-client.js';
import { type SocketOptions, socketPathOf } from './socket-option.js';

const connectTimeoutMs = 5000;
/** The longest silence while reading. */
export const readDeadlineMs = 10_000;

export interface LogReader {
  readonly events: EventLog;
  readonly names: LogNames;
}

/**
 * Reads the log itself, in this process, so that a long read costs the daemon nothing, and works without one. With
 * `-c FILE` the log is that file's; otherwise that of the local daemon, which says which file it was started with.
 *
 * @throws KoiError `unreachable` where the log, or the daemon that is to name it, does not answer
 */
export async function withLog<T>(options: SocketOptions, use: (reader: LogReader) => Promise<T>): Promise<T> {
  const file = options.config ?? (await configFileOf(socketPathOf(options)));
  const { config } = loadConfig(file);
  const { openJetStreamLogs } = await import('../log/jetstream.js');
  const { servers, authentication, tls, replicas } = config.log;
  // Under a name of its own: what the nodes say to each other is not for it.
  const name = `koi-reader-${config.node}-${process.pid}`;
  const logs = openJetStreamLogs({
    servers,
    name,
    authentication,
    tls,
    cluster: config.cluster,
    replicas,
    readOnly: true,
  });
  try {
    await connected(logs.events, servers);
    return await use({ events: logs.events, names: logs.names });
  } finally {
    await logs.close();
  }
}

async function configFileOf(socket: string): Promise<string> {
  const { configFile } = await new ControlClient(socket).get<Status>('/api/v1/status');
  return configFile;
}

function connected(events: EventLog, servers: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let problem = 'no answer';
    const remedy = `see that a NATS server answers at ${servers.join(', ')}`;
    const finish = (end: () => void): void => {
      clearTimeout(late);
      // `watch` may call back before it has returned.
      queueMicrotask(() => stop());
      end();
    };
    const late = setTimeout(() => {
      const { said, hint = remedy } = problemIn(problem);
      const what = `the log cannot be reached: ${said} (${servers.join(', ')})`;
      finish(() => reject(new KoiError('unreachable', what, { remedy: hint })));
    }, connectTimeoutMs);
    const stop = events.watch((status) => {
      problem = status.problem ?? status.state;
      if (status.state === 'connected') finish(resolve);
      else if (status.state === 'unfit') {
        const { said, hint } = problemIn(problem);
        const what = `the log cannot be used: ${said} (${servers.join(', ')})`;
        finish(() => reject(new KoiError('log', what, hint === undefined ? {} : { remedy: hint })));
      }
    });
  });
}

/** What is said of a log has its remedy behind a semicolon. */
function problemIn(problem: string): { readonly said: string; readonly hint?: string } {
  const [said = problem, ...hints] = problem.split('; ');
  return hints.length === 0 ? { said } : { said, hint: hints.join('; ') };
}
