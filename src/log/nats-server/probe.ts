import { connect } from 'node:net';
import { type Listen, reachableHost } from './settings.js';

const answerBytesMax = 64 << 10;

export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  /** It says that it is one of a cluster. */
  readonly clustered: boolean;
}

/**
 * What the server says to whoever connects (`INFO {…}`), before any authorization: it accepts, and its loops run.
 * Undefined where nothing of that kind is said within `deadlineMs`.
 */
export function probeServer(listen: Listen, deadlineMs: number): Promise<ServerInfo | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: reachableHost(listen.host), port: listen.port });
    let heard = '';
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(parseInfo(heard));
    };
    const timer = setTimeout(finish, deadlineMs);
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      heard += chunk;
      if (heard.includes('\r\n') || heard.length > answerBytesMax) finish();
    });
    socket.on('error', finish);
    socket.on('end', finish);
  });
}

function parseInfo(heard: string): ServerInfo | undefined {
  const line = heard.split('\r\n')[0] ?? '';
  if (!line.startsWith('INFO ')) return undefined;
  try {
    const info = JSON.parse(line.slice('INFO '.length)) as Record<'server_name' | 'version' | 'cluster', unknown>;
    const { server_name: name, version, cluster } = info;
    if (typeof name !== 'string' || typeof version !== 'string') return undefined;
    return { name, version, clustered: typeof cluster === 'string' };
  } catch {
    return undefined;
  }
}
