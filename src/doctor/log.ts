import { judgeServer } from '../log/server-version.js';
import { type DoctorVerdict, speaker } from './verdict.js';

export interface LogFacts {
  readonly servers: readonly {
    readonly url: string;
    /** Undefined where nobody answers as a nats-server. */
    readonly version: string | undefined;
  }[];
  readonly replicas: number;
  /** What the daemon says of the log; undefined where none runs. */
  readonly daemon:
    | { readonly connected: boolean; readonly warnings: readonly string[]; readonly server: string | null }
    | undefined;
}

const { ok, warning, failed, unknown } = speaker('log');

export function judgeLog(facts: LogFacts): DoctorVerdict[] {
  return [...facts.servers.flatMap((server) => judge(server, facts)), quorum(facts), ...daemon(facts)];
}

function judge({ url, version }: LogFacts['servers'][number], { servers, replicas }: LogFacts): DoctorVerdict[] {
  const check = 'nats_version';
  if (version === undefined) {
    return [failed('nats_server', `${url} does not answer as a nats-server`, 'start it, or correct log.servers')];
  }
  const { unfit, warning: doubt } = judgeServer({ version, clustered: servers.length > 1 || replicas > 1 });
  if (unfit !== undefined) return [failed(check, `${url}: ${unfit}`, 'upgrade every server, one after the other')];
  if (doubt !== undefined) return [warning(check, `${url}: ${doubt}`, 'upgrade every server, one after the other')];
  return [ok(check, `${url}: nats-server ${version}`)];
}

function quorum({ servers, replicas }: LogFacts): DoctorVerdict {
  const check = 'quorum';
  const answering = servers.filter(({ version }) => version !== undefined).length;
  const needed = Math.floor(Math.max(replicas, 1) / 2) + 1;
  if (answering < needed) {
    const detail = `${answering} of ${servers.length} servers answer, and ${replicas} replicas need ${needed}`;
    return failed(check, detail, 'start the servers that are away; until then takeovers go by onLogLoss');
  }
  if (servers.length === 2 || replicas === 2) {
    return warning(check, 'two servers have no majority without each other', 'add a third voter: koi witness');
  }
  return ok(check, `${answering} of ${servers.length} answer, ${needed} needed`);
}

function daemon({ daemon: told }: LogFacts): DoctorVerdict[] {
  const check = 'log_connection';
  if (told === undefined) return [unknown(check, 'no daemon runs here', 'start koi, and ask again')];
  const doubts = told.warnings.map((message) => warning(check, message, 'see koi status and the log of koi'));
  if (!told.connected) return [failed(check, 'the daemon cannot reach the log', 'see koi status'), ...doubts];
  return [ok(check, `connected${told.server === null ? '' : ` to ${told.server}`}`), ...doubts];
}
