import { join } from 'node:path';
import { LogServer, urlOf } from './log-server.js';
import { Overseer } from './overseer.js';
import type { Topology } from './topology.js';
import { DeadlineError, waitUntil } from './wait.js';

/** How long a cluster may take to be whole again: two elections (4 to 9 s each), and what was missed. */
const wholeDeadlineMs = 30_000;

/** A server of the log, whoever runs it. */
export interface LogMember {
  readonly name: string;
  readonly address: string;
}

/** The event log: one nats-server, or a cluster of three that keeps every event three times. */
export class EventLogHosts {
  /** Those that the lab runs. */
  readonly servers: readonly LogServer[];
  readonly overseer: Overseer;
  readonly #members: readonly LogMember[];

  /** @param options.embedded servers that the routers run themselves */
  constructor(options: {
    topology: Topology;
    embedded: readonly LogMember[];
    directory: string;
    logs: string;
    root: string;
  }) {
    const { topology, embedded, directory, logs, root } = options;
    const { logHosts } = topology;
    this.#members = [...logHosts, ...embedded];
    const peersOf = (name: string) => this.#members.filter((member) => member.name !== name);
    this.servers = logHosts.map(
      (host) =>
        new LogServer({ host, peers: peersOf(host.name), directory, logFile: join(logs, `${host.name}.log`), root }),
    );
    this.overseer = new Overseer({
      topology,
      members: this.#members,
      socket: join(directory, 'overseer.sock'),
      logFile: join(logs, 'overseer.log'),
    });
  }

  get urls(): string[] {
    return this.#members.map(({ address }) => urlOf(address));
  }

  get clustered(): boolean {
    return this.#members.length > 1;
  }

  get running(): boolean {
    return this.servers.every((server) => server.running);
  }

  /** Starts or thaws what does not run. */
  async start(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.start()));
  }

  /** Waits until every server has a current copy of the stream, once koi has made it. */
  async settle(): Promise<void> {
    await waitUntil('the log’s cluster', () => this.whole(), { deadlineMs: wholeDeadlineMs, everyMs: 200 });
  }

  /** Why the cluster does not keep every event three times, or undefined. */
  async whole(): Promise<string | undefined> {
    if (!this.running) return 'a nats-server does not run';
    if (!this.clustered) return undefined;
    const stream = await this.overseer.stream();
    const leader = Object.entries(stream).find(([name, view]) => view?.leader === name);
    if (leader?.[1] == null) return 'the stream has no leader';
    const behind = this.#members.filter(({ name }) => {
      const replica = leader[1]?.replicas.find((each) => each.name === name);
      return name !== leader[0] && replica?.current !== true;
    });
    return behind.length === 0 ? undefined : `${behind.map(({ name }) => name).join(', ')}: no current copy`;
  }

  /** The server that leads the stream. Throws where there is none. */
  async leader(): Promise<LogServer> {
    const name = await this.overseer.leader();
    const server = this.servers.find(({ host }) => host.name === name);
    if (server === undefined) throw new Error('no server leads the stream');
    return server;
  }

  /** Makes a server the stream's leader. */
  async moveLeader(to: string): Promise<void> {
    await waitUntil(
      `${to} to lead the stream`,
      async () => {
        if ((await this.overseer.leader()) === to) return undefined;
        await this.overseer.moveLeader(to).catch((error: unknown) => {
          if (error instanceof DeadlineError) throw error;
        });
        return 'another one leads it';
      },
      { deadlineMs: 20_000, everyMs: 500 },
    );
  }

  async kill(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.kill()));
  }

  freeze(): void {
    for (const server of this.servers) server.freeze();
  }

  thaw(): void {
    for (const server of this.servers) server.thaw();
  }
}
