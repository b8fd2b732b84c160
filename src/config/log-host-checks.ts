import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { ListenAddress, LogConfig } from './config.js';
import { formatListen } from './listen.js';
import { type ConfigPath, formatPath } from './path.js';
import type { ConfigProblem } from './problem.js';

/** Who answers on an address, as a nats-server names itself; undefined where nobody says. */
export type AskServer = (listen: ListenAddress) => Promise<{ readonly name: string } | undefined>;

/**
 * What this machine makes of the log's configuration: a store that cannot be written is an error, a listen address that
 * is no address here or is taken by another program a warning. A server of this very node that runs already is neither.
 */
export async function checkLogHost(
  { log, node }: { readonly log: LogConfig; readonly node: string | undefined },
  lineOf: (path: ConfigPath) => number | undefined,
  askServer: AskServer,
): Promise<{ readonly errors: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] }> {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const into = (list: ConfigProblem[], path: ConfigPath, message: string, remedy: string): void => {
    list.push({ path: formatPath(path), line: lineOf(path), message, remedy });
  };
  const { embedded } = log;
  if (embedded === undefined) {
    into(
      warnings,
      ['log', 'servers'],
      'whether these servers write to disk before they confirm cannot be seen from here',
      'set `jetstream { sync_interval: always }` on each of them: the default loses what was confirmed at a power failure',
    );
    return { errors, warnings };
  }
  checkStore(embedded.storeDir, embedded.maxStoreBytes, (kind, message, remedy) =>
    into(kind === 'error' ? errors : warnings, ['log', 'embedded', 'storeDir'], message, remedy),
  );
  const isOurs = node !== undefined && (await askServer(embedded.listen))?.name === node;
  if (isOurs) return { errors, warnings };
  const addresses: [ConfigPath, ListenAddress][] = [[['log', 'embedded', 'listen'], embedded.listen]];
  if (embedded.cluster !== undefined) {
    addresses.push([['log', 'embedded', 'cluster', 'listen'], embedded.cluster.listen]);
  }
  for (const [path, listen] of addresses) {
    switch (await tryToListen(listen)) {
      case 'EADDRINUSE': {
        const message = `another program listens on ${formatListen(listen)}`;
        into(warnings, path, message, 'end it (ss -ltnp shows which it is), or choose another port');
        break;
      }
      case 'EADDRNOTAVAIL':
        into(
          warnings,
          path,
          `${listen.host} is no address of this machine now`,
          'correct it, or give it to an interface',
        );
        break;
      case 'EACCES':
        into(warnings, path, `you may not listen on port ${listen.port}`, 'choose one above 1023');
        break;
      default:
    }
  }
  return { errors, warnings };
}

type Say = (kind: 'error' | 'warning', message: string, remedy: string) => void;

function checkStore(storeDir: string, maxStoreBytes: number, say: Say): void {
  const found = nearest(storeDir);
  if (!statSync(found).isDirectory()) {
    say('error', `${found} is not a directory`, 'correct the path');
    return;
  }
  try {
    accessSync(found, constants.W_OK | constants.X_OK);
  } catch {
    say('warning', `${found} cannot be written by you`, 'the user that koi runs as must be able to write it');
  }
  const { bavail, bsize } = statfsSync(found);
  const freeBytes = bavail * bsize;
  if (storeDir === found || freeBytes >= maxStoreBytes) return;
  say(
    'warning',
    `its file system has ${Math.floor(freeBytes / 2 ** 20)} MiB free, and the log may grow to ${Math.floor(maxStoreBytes / 2 ** 20)} MiB`,
    'a full disk stops the log: use a larger file system, or lower log.embedded.maxStore',
  );
}

/** The path itself, or what there is of the way to it. */
function nearest(path: string): string {
  let found = path;
  while (!existsSync(found)) found = dirname(found);
  return found;
}

/** The error's code, or undefined where one can listen. */
function tryToListen({ host, port }: ListenAddress): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}
