import { connect } from 'node:net';
import { type Listen, reachableHost } from './settings.js';

const answerBytesMax = 64 << 10;

/**
 * What the server says to whoever connects (`INFO {…}`), before any authorization: it accepts, and its loops run.
 * Undefined where nothing of that kind is said within `deadlineMs`.
 */
export function probeServer(
  listen: Listen,
  deadlineMs: number,
): Promise<{ name: string; version: string } | undefined> {
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

function parseInfo(heard: string): { name: string; version: string } | undefined {
  const line = heard.split('\r\n')[0] ?? '';
  if (!line.startsWith('INFO ')) return undefined;
  try {
    const info = JSON.parse(line.slice('INFO '.length)) as { server_name?: unknown; version?: unknown };
    const { server_name: name, version } = info;
    return typeof name === 'string' && typeof version === 'string' ? { name, version } : undefined;
  } catch {
    return undefined;
  }
}
