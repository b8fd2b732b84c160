import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import { z } from 'zod';
import { type LineChannel, openLineChannel } from '../ipc/line-channel.js';
import { type LogServerMessage, logServerSocketPath } from '../ipc/log-server-message.js';
import { claimSocketPath, isAnswered } from '../ipc/socket-path.js';
import { runWithoutCapabilities } from '../kernel/privileges.js';
import { KoiError } from '../koi-error.js';
import { NatsServerKeeper, type NatsServerStatus } from '../log/nats-server/keeper.js';
import { beginDaemon } from './begin-daemon.js';
import { addDaemonOptions, askedToEnd, type DaemonOptions, endWith, isSupervised } from './daemon.js';
import { natsServerSettings } from './nats-settings.js';
import { askedService, beginService, serverStatus } from './service.js';

export function define(command: Command): void {
  addDaemonOptions(command)
    .addHelpText(
      'after',
      `
Runs and watches the nats-server that log.embedded describes. koi run does this by itself; beside koi agent and koi
dataplane it is a unit of its own. SIGTERM ends the server once the agent is gone, at most 6 s later.

Example:
  koi log-server -c /etc/koi/koi.yaml
`,
    )
    .action((options: DaemonOptions) =>
      endWith('log-server', async () => {
        // nats-server listens on the network: it inherits no capability. A process of its own, rather than a task of the
        // agent's, because an agent may be restarted at any time, and each restart would take a voter of the log down.
        runWithoutCapabilities();
        const { config, log } = beginDaemon('log-server', options);
        const asked = askedToEnd();
        const { embedded, authentication } = config.log;
        if (embedded === undefined) {
          throw new KoiError('config', 'log.embedded is missing: there is no server to run', {
            remedy: 'add log.embedded: {listen: ADDRESS:4222, storeDir: DIRECTORY}',
          });
        }
        const service = await askedService();
        const socket = await StatusSocket.listen(logServerSocketPath(config.control));
        const keeper = new NatsServerKeeper({
          settings: natsServerSettings(config.node, embedded, authentication),
          binary: embedded.binary,
          directory: config.stateDir,
          // `koi run` has made a session for this process, and put it ahead.
          sharesSession: isSupervised(),
          onStatus: (status) => {
            tellOfServer(log, status);
            service?.status(serverStatus(status));
            socket.tell(status);
          },
        });
        keeper.start();
        beginService(service);
        const reason = await asked;
        service?.stopping();
        log.info({ reason }, 'stopping');
        await outlive(config.control);
        await keeper.stop();
        socket.close();
        return 0;
      }),
    );
}

/** Says what the server does in the words that its state deserves. */
export function tellOfServer(log: Logger, status: NatsServerStatus): void {
  const { state, problem, version, restarts, pid: server } = status;
  const facts = { server, version, restarts };
  switch (state) {
    case 'serving':
      log.info(facts, 'nats-server serves');
      return;
    case 'starting':
      if (problem === null) log.info(facts, 'nats-server is starting');
      else log.error({ ...facts, problem }, 'nats-server cannot serve');
      return;
    case 'silent':
      log.warn({ ...facts, problem }, 'nats-server is silent');
      return;
    case 'failing':
      log.error({ ...facts, problem }, 'nats-server confirms nothing');
      return;
    case 'down':
      log.error({ ...facts, problem }, 'nats-server is down; starting it again');
      return;
    case 'stopped':
      log.info('nats-server is stopped');
  }
}

const outliveDeadlineMs = 6_000;
const lookEveryMs = 20;

/** The agent writes to the log what was released, and only then may the log end. */
async function outlive(control: string): Promise<void> {
  const deadlineMs = performance.now() + outliveDeadlineMs;
  while ((await isAnswered(control)) && performance.now() < deadlineMs) await setTimeout(lookEveryMs);
}

const connectionsMax = 8;

/** Where the agent hears how the server is. Nothing is taken from it. */
class StatusSocket {
  readonly #server: Server;
  readonly #path: string;
  readonly #channels = new Set<LineChannel<LogServerMessage>>();
  #last: LogServerMessage | undefined;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
    server.on('connection', (socket) => {
      const channel = openLineChannel<never, LogServerMessage>({
        socket,
        schema: z.never(),
        onMessage: () => undefined,
        onClose: () => this.#channels.delete(channel),
      });
      this.#channels.add(channel);
      if (this.#last !== undefined) channel.send(this.#last);
    });
  }

  static async listen(path: string): Promise<StatusSocket> {
    await claimSocketPath('log server', path);
    const server = createServer();
    server.maxConnections = connectionsMax;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(new KoiError('config', `cannot listen on ${path}: ${cause.message}`, { cause }));
      });
      server.listen(path, resolve);
    });
    chmodSync(path, 0o660);
    return new StatusSocket(server, path);
  }

  tell(status: NatsServerStatus): void {
    this.#last = { type: 'logServer', ...status };
    for (const channel of this.#channels) channel.send(this.#last);
  }

  close(): void {
    this.#server.close();
    for (const channel of this.#channels) channel.close();
    rmSync(this.#path, { force: true });
  }
}
