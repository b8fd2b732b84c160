import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { KoiConfig } from '../config/config.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import type { ToAgent, VrStateMessage } from '../ipc/protocol.js';
import { rehearseMessages } from '../ipc/rehearsal.js';
import { isConfiguration, isOwnership, type KoiEvent } from '../log/event.js';
import { eventId } from '../log/event-id.js';
import type { JetStreamLogs } from '../log/jetstream.js';
import { Outbox } from '../log/outbox.js';
import type { LogGap, StoredEvent } from '../log/port.js';
import { realTimers } from '../log/timers.js';
import { buildInfo } from '../observe/build-info.js';
import { type Listening, serveControl, serveHttp } from '../observe/http.js';
import type { HttpSources } from '../observe/http-sources.js';
import { createMetrics, type KoiMetrics } from '../observe/metrics.js';
import type { ServiceManager } from '../observe/service-manager.js';
import { AgentAlarms } from './agent-alarms.js';
import { AgentMetrics } from './agent-metrics.js';
import { ClockWatch } from './clock-watch.js';
import { ConfigDesk } from './config-desk.js';
import { ConfigurationInForce } from './configuration-in-force.js';
import { controlActions } from './control-actions.js';
import { DataplanePort } from './dataplane-port.js';
import { DataplaneView } from './dataplane-view.js';
import { DrainDesk } from './drain-desk.js';
import { EpisodeDesk } from './episode-desk.js';
import { FoldedLog, type LogChange } from './folded-log.js';
import { HandoverDesk } from './handover-desk.js';
import { HeldTogetherDesk } from './held-together-desk.js';
import { HolderVerdicts } from './holder-verdicts.js';
import { Journal, recordAfterMs } from './journal.js';
import { LanCheckDesk } from './lan-check-desk.js';
import { Leases } from './leases.js';
import { LogMastersWatch } from './log-masters-watch.js';
import { LogOutages } from './log-outages.js';
import { logServers } from './log-servers.js';
import { metricWords } from './metric-words.js';
import { areAnnouncedAlike, haveSameConfiguration, NodeAnnouncement } from './node-announcement.js';
import { openLogs } from './open-logs.js';
import { OwnLogServer } from './own-log-server.js';
import { OwnNode } from './own-node.js';
import { Ownerships } from './ownerships.js';
import { PeerDesk } from './peer-desk.js';
import { judgeHealth, judgeReadiness } from './readiness.js';
import { RecentEvents } from './recent-events.js';
import { type ConfigFile, ReloadDesk } from './reload-desk.js';
import { agentStatus } from './service-status.js';
import { SnapshotShelf } from './snapshot-shelf.js';
import { composeStatus } from './status-report.js';
import { Telling } from './telling.js';
import { Timeline } from './timeline.js';
import { updatedSuccessor } from './updated-successor.js';

const stopDeadlineMs = 2000;
const tickEveryMs = 1000;

/** Joins event log, configuration, HTTP and dataplane. Holds no capability, and nothing it does can delay an advert. */
export class Agent {
  readonly #log: Logger;
  readonly #file: string;
  readonly #service: ServiceManager | undefined;
  readonly #node: OwnNode;
  readonly #logs: JetStreamLogs;
  readonly #events: FoldedLog;
  readonly #outages: LogOutages;
  readonly #dataplane: DataplanePort;
  readonly #view: DataplaneView;
  readonly #metrics: KoiMetrics;
  readonly #shown: AgentMetrics;
  readonly #ownerships: Ownerships;
  readonly #journal: Journal;
  readonly #episodes = new EpisodeDesk();
  readonly #alarms: AgentAlarms;
  readonly #logMasters: LogMastersWatch;
  readonly #logServer: OwnLogServer;
  readonly #together: HeldTogetherDesk;
  readonly #lanChecks: LanCheckDesk;
  readonly #clock = new ClockWatch();
  readonly #verdicts = new HolderVerdicts();
  readonly #handovers: HandoverDesk;
  readonly #peers: PeerDesk;
  readonly #drains: DrainDesk;
  readonly #leases: Leases;
  readonly #timeline: Timeline;
  readonly #announcement: NodeAnnouncement;
  readonly #telling: Telling;
  readonly #configurations: ConfigDesk;
  readonly #inForce: ConfigurationInForce;
  readonly #snapshots = new SnapshotShelf();
  readonly #listening: Listening[] = [];
  #outbox: Outbox | undefined;
  #tickAtMs = performance.now();
  #tick: NodeJS.Timeout | undefined;
  #dataplaneEnded = false;
  #stopped = false;

  private constructor(config: KoiConfig, log: Logger, source: ConfigFile) {
    this.#file = source.file;
    this.#service = source.service;
    this.#log = log;
    this.#node = new OwnNode(config, () => this.#drains.sinceMs !== undefined);
    const { cluster } = config;
    const node = this.#node;
    this.#logs = openLogs(config, (message) => this.#peers.answer(message));
    const recent = new RecentEvents();
    this.#events = new FoldedLog({
      log: this.#logs.events,
      names: this.#logs.names,
      recent,
      onEvent: (stored, isNews) => this.#eventRead(stored, isNews),
      onCaughtUp: () => this.#logCaughtUp(),
      onGap: (gap) => this.#logIsAnother(gap),
      onForgotten: () => this.#logForgotten(),
      onChange: (change) => this.#logChanged(change),
    });
    const events = this.#events;
    const state = () => events.state;
    const reachable = () => events.reachable;
    this.#dataplane = new DataplanePort({
      path: dataplaneSocketPath(config.control),
      node: config.node,
      onMessage: (message) => this.#fromDataplane(message),
      onSnapshot: (line) => this.#snapshots.put(line),
      onUp: () => log.info('connected to the dataplane'),
      onDown: (cause) => this.#dataplaneGone(cause?.message),
      onTrouble: (error) => log.warn({ reason: error.message }, 'the dataplane cannot be reached; trying on'),
    });
    const dataplane = this.#dataplane;
    const send: DataplanePort['send'] = (message) => dataplane.send(message);
    this.#timeline = new Timeline({
      log: this.#logs.events,
      recent,
      trouble: () => events.trouble,
      now: () => performance.now(),
    });
    this.#metrics = createMetrics(buildInfo(), metricWords());
    this.#metrics.setNode(config.node, cluster);
    this.#shown = new AgentMetrics({
      metrics: this.#metrics,
      node,
      log: events,
      snapshots: this.#snapshots,
      episodes: this.#episodes,
      lease: () => this.#leases,
      outboxEvents: () => this.#outbox?.pending ?? 0,
    });
    this.#together = new HeldTogetherDesk({
      node: node.name,
      now: () => clock().monotonicMs,
      timers: realTimers,
      isMaster: (vr) => node.told.get(vr)?.state === 'master',
      hasToldAll: () => !this.#journal.isWaiting && this.#outbox?.pending === 0,
      onFound: (found) => this.#alarms.heldTogether(found),
    });
    this.#lanChecks = new LanCheckDesk({
      node: node.name,
      peers: this.#logs.peers,
      state,
      snapshot: () => this.#snapshots.read(),
      lostPaths: () => this.#episodes.lostPaths,
      wallNow: Date.now,
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
    this.#view = new DataplaneView({
      node,
      log: events,
      dataplane,
      newest: (vr) => this.#ownerships.newest(vr),
    });
    this.#telling = new Telling({
      view: (isAll) => {
        this.#shown.showLog();
        this.#view.tell(isAll);
      },
      whole: (isAll) => this.#tellWhole(isAll),
      later: (act) => void setImmediate(act),
      timers: realTimers,
    });
    this.#ownerships = new Ownerships({
      node,
      events: this.#logs.events,
      log: events,
      dataplane,
      holderVerdict: (vr, claim, reason) => this.#verdicts.of(vr, claim, reason),
      newEventId,
      clock,
      onAppend: (result, durationMs) => this.#shown.appended(result, durationMs),
      onWritten: (vr) => this.#view.touch(vr),
      onHandover: (vr, why, term) => this.#handovers.progressed(vr, why, term),
      onStored: () => this.#telling.soon(),
      logger: log,
    });
    this.#journal = new Journal({
      cluster,
      node: node.name,
      boot: () => node.boot,
      ownership: (vr) => this.#ownerships.newest(vr),
      newEventId,
      clock,
      logRead: () => this.#together.lastRead,
      add: (event) => {
        this.#together.tells(event);
        this.#outbox?.add(event);
      },
      onTaken: (number) => send({ type: 'taken', number }),
      isWanted: () => this.#ownerships.isBusy,
    });
    const observe: Journal['observe'] = (payload) => this.#journal.observe(payload);
    this.#outages = new LogOutages({
      servers: () => logServers(node.config.log),
      observe,
      log,
      now: () => performance.now(),
    });
    this.#alarms = new AgentAlarms({
      episodes: this.#episodes,
      journal: this.#journal,
      metrics: this.#metrics,
      log,
      wallNow: Date.now,
    });
    this.#logServer = new OwnLogServer({
      node,
      log: events,
      streams: this.#logs.streams,
      alarms: this.#alarms,
      onChange: (server) => this.#metrics.setLogServer(server),
      logger: log,
    });
    this.#logMasters = new LogMastersWatch({
      state,
      leaseOf: (of) => this.#leases.report(of),
      lastsMs: () => 2 * node.config.lease.ttlMs,
      now: () => performance.now(),
      onBegan: (vr, found) => this.#alarms.twoMastersInLog(vr, found),
      onEnded: (vr, found, durationMs) => this.#alarms.noMoreTwoMastersInLog(vr, found, durationMs),
    });
    this.#announcement = new NodeAnnouncement({
      node,
      log: events,
      observe,
      onDue: () => this.#telling.now(),
      timers: realTimers,
    });
    this.#handovers = new HandoverDesk({
      node: node.name,
      state,
      reachable,
      told: (vr) => node.told.get(vr),
      newest: (vr) => this.#ownerships.newest(vr),
      arbitrationOf: (vr) => node.router(vr)?.arbitration,
      ownRouters: () => node.routerNames,
      send,
      peers: this.#logs.peers,
      now: () => performance.now(),
    });
    this.#configurations = new ConfigDesk({
      log: this.#logs.events,
      cluster,
      node: node.name,
      boot: () => node.boot,
      state,
      reachable,
      vrs: () => node.told,
      hasJustSpoken: (spokeAtMs) => this.#leases.hasJustSpoken(spokeAtMs),
      mayRun: (other, spokeAtMs) => this.#leases.mayRun(other.node, spokeAtMs),
      send,
      newEventId,
      clock,
      timers: realTimers,
      onDiffers: (vr, words) => this.#alarms.configurationDiffers(vr, words),
      isWanted: () => this.#ownerships.isBusy,
    });
    this.#inForce = new ConfigurationInForce({
      node,
      source,
      reloads: new ReloadDesk(source, send),
      configurations: this.#configurations,
      observe,
      onAdopted: (gone) => this.#adopted(gone),
      log,
    });
    this.#drains = new DrainDesk({
      stateDir: config.stateDir,
      routers: () => node.routerNames,
      told: (vr) => node.told.get(vr),
      handOver: (vr, timeoutMs, updating, passOver) =>
        this.#handovers.handOverHere({
          vr,
          to: updating ? updatedSuccessor(events.state, node, vr, Date.now()) : undefined,
          timeoutMs,
          passOver,
        }),
      send,
      onChange: (drained, force) => this.#drainChanged(drained, force),
      wallNow: Date.now,
    });
    this.#metrics.setDrained(node.isDrained);
    this.#leases = new Leases({
      node,
      logs: this.#logs,
      events,
      dataplane,
      onAsked: (vr, claim) => this.#verdicts.asked(vr, claim),
      onRead: (stored) => this.#together.read(stored),
      onVerdict: (vr, claim, verdict) => this.#verdicts.note(vr, claim, verdict),
      observe,
      onAppend: (result, durationMs) => this.#shown.appended(result, durationMs),
      log,
      newEventId,
      clock,
    });
    this.#peers = new PeerDesk({
      node,
      log: events,
      dataplane,
      peers: this.#logs.peers,
      handovers: this.#handovers,
      leases: this.#leases,
      lanChecks: this.#lanChecks,
      logger: log,
    });
  }

  /** @throws KoiError `config` where a port or the control socket is taken, `privilege`. */
  static async start(config: KoiConfig, log: Logger, source: ConfigFile): Promise<Agent> {
    const agent = new Agent(config, log, source);
    try {
      await agent.#open();
    } catch (error) {
      await agent.stop();
      throw error;
    }
    return agent;
  }

  async #open(): Promise<void> {
    const { config } = this.#node;
    this.#shown.declareConfigured();
    this.#outbox = await Outbox.open({
      path: join(config.stateDir, 'outbox'),
      node: config.node,
      names: this.#logs.names,
      log: this.#logs.events,
      summarize: ({ count, firstMs, lastMs }) => this.#journal.event({ type: 'eventsDropped', count, firstMs, lastMs }),
      onTrouble: (error) => this.#log.error({ err: error }, 'the outbox has a problem'),
      onChange: () => this.#shown.showLog(),
      isWanted: () => this.#ownerships.isBusy,
    });
    const sources = this.#sources();
    this.#listening.push(
      await serveControl({
        path: config.control,
        sources,
        actions: controlActions({
          reload: (force) => this.#inForce.reload(force),
          handovers: this.#handovers,
          drains: this.#drains,
          examine: async () => ({ heard: await this.#lanChecks.check(), clock: this.#clock.jumps }),
        }),
      }),
    );
    this.#listening.push(await serveHttp({ listen: config.http.listen, sources }));
    this.#events.start();
    this.#logServer.start();
    this.#leases.start();
    this.#together.start();
    rehearseMessages.toAgent();
    this.#dataplane.start();
    this.#tick = setInterval(() => {
      this.#tickAtMs = performance.now();
      this.#tellService();
      this.#clock.look(Date.now(), this.#tickAtMs);
      this.#configurations.lookInTurn();
      if (this.#events.reachable) this.#lookForMasters();
    }, tickEveryMs);
    this.#log.info({ addresses: this.#listening.map(({ address }) => address) }, 'listening');
  }

  /** Gives what is left to the log, within a deadline, and ends. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#tick);
    this.#outages.stop();
    this.#announcement.stop();
    this.#telling.stop();
    this.#drains.stop();
    this.#leases.stop();
    this.#together.stop();
    this.#configurations.stop();
    this.#journal.flush();
    this.#dataplane.stop();
    this.#logServer.stop();
    this.#ownerships.stop();
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, stopDeadlineMs).unref());
    await Promise.race([this.#settle(), deadline]);
    this.#events.stop();
    await Promise.allSettled(this.#listening.map((listening) => listening.close()));
    await Promise.race([this.#outbox?.close() ?? Promise.resolve(), deadline]);
    await Promise.race([this.#logs.close(), deadline]);
  }

  async #settle(): Promise<void> {
    if (!this.#events.reachable) return;
    while ((this.#outbox?.pending ?? 0) > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Reads the configuration file again, as somebody told this process to; what comes of it is told to the log only. */
  reloadOnSignal(): Promise<void> {
    return this.#inForce.reloadOnSignal();
  }

  #tellService(): void {
    if (this.#service === undefined) return;
    const { reachable, status } = this.#events;
    this.#service.tick();
    const problem = status.problem ?? status.state;
    this.#service.status(agentStatus({ dataplaneUp: this.#dataplane.up, logReachable: reachable, problem }));
  }

  #lookForMasters(): void {
    this.#logMasters.look(this.#node.routerNames);
    this.#together.look();
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #eventRead(stored: StoredEvent, isNews: boolean): void {
    this.#together.read(stored);
    if (!isNews) return;
    if (stored.event !== undefined && isOwnership(stored.event)) this.#ownerships.saw();
    this.#tellOf(stored.event);
  }

  /** One more event of the log; undefined: one that cannot be read. */
  #tellOf(event: KoiEvent | undefined): void {
    if (event === undefined) this.#view.touchAll();
    else if ('vr' in event && event.vr !== undefined) this.#view.touch(event.vr);
    if (event !== undefined && isConfiguration(event)) this.#configurations.touch(event.vr);
    this.#telling.soon(event !== undefined && concernsNodes(event) ? 0 : undefined);
  }

  #logCaughtUp(): void {
    this.#together.caughtUp();
    this.#leases.followsEvents(this.#events.reachable);
    this.#telling.now();
    void this.#ownerships.flush();
  }

  #logIsAnother(gap: LogGap): void {
    this.#log.error({ gap }, 'the log is not the one that was read before; terms are kept');
    this.#metrics.logRegressed();
    this.#journal.observe({ type: 'logRegressed', ...gap });
  }

  #logForgotten(): void {
    this.#ownerships.forget();
    this.#together.readsAgain();
    this.#configurations.forget();
    this.#leases.followsEvents(false);
    this.#announcement.forget();
  }

  #logChanged({ before, now, hasMoved }: LogChange): void {
    const isReconnected = now.reconnects !== before.reconnects;
    if (now.reconnects > before.reconnects) this.#metrics.logReconnected();
    if (hasMoved) this.#outages.moved(before.state, now);
    this.#leases.followsEvents(this.#events.reachable);
    this.#shown.showLog();
    // How far the reader is behind changes with each event.
    if (hasMoved || isReconnected || now.lagging !== before.lagging) this.#telling.now();
  }

  #tellWhole(isAll: boolean): void {
    if (!this.#dataplane.up) return;
    if (isAll || this.#announcement.isOld) this.#announcement.look();
    if (isAll) this.#configurations.look();
    else this.#configurations.lookAtTouched();
  }

  #drainChanged(drained: boolean, force: boolean): void {
    this.#log.warn({ drained, force }, drained ? 'this node is drained' : 'this node is back in service');
    this.#metrics.setDrained(drained);
    this.#journal.observe({ type: 'drainChanged', drained, force });
    // Others must know before anything is handed over that it cannot come back.
    this.#announcement.hurry();
    this.#telling.now();
  }

  // ── the dataplane ─────────────────────────────────────────────────────────────────────────────────────────────────

  #fromDataplane(message: ToAgent): void {
    switch (message.type) {
      case 'hello':
        this.#dataplaneEnded = false;
        this.#view.dataplaneCame();
        this.#episodes.dataplaneCame(message);
        this.#node.dataplaneCame(message.boot, message.vrs);
        this.#drains.dataplaneCame(message.boot);
        this.#configurations.dataplaneCame();
        this.#inForce.follow(message.digest);
        this.#shown.declareTold();
        this.#leases.dataplaneUp();
        this.#telling.now();
        return;
      case 'reloaded':
        this.#snapshots.keep(message.vrs.map(({ vr }) => vr));
        for (const state of message.vrs) {
          this.#node.tells(state);
          this.#view.touch(state.vr);
        }
        this.#inForce.dataplaneReloaded(message);
        this.#configurations.routersCame();
        this.#announcement.age();
        this.#telling.soon(recordAfterMs);
        return;
      case 'state':
        this.#stateChanged(message.state);
        return;
      case 'reloadAsked':
        void this.reloadOnSignal();
        return;
      case 'snapshot':
        this.#snapshots.add(message.snapshot);
        return;
      case 'bye':
        this.#journal.flush();
        this.#dataplaneEnded = true;
        this.#journal.observe({ type: 'nodeStopped', reason: 'shutdown' });
        return;
      case 'claim':
        void this.#ownerships.claim(message);
        return;
      case 'released':
        this.#ownerships.release(message);
        return;
      case 'startHandover':
        void this.#ownerships.startHandover(message);
        return;
      case 'askReady':
        void this.#peers.askReady(message);
        return;
      case 'tellServing':
        this.#peers.tellServing(message);
        return;
      case 'askHandover':
        this.#peers.askHandover(message);
        return;
      case 'challenge':
      case 'challenged':
        this.#leases.fromDataplane(message);
        return;
      default:
        this.#episodes.heard(message);
        this.#journal.record(message);
    }
  }

  #stateChanged(state: VrStateMessage): void {
    const { vr } = state;
    const before = this.#node.tells(state);
    this.#metrics.setVrState(vr, state.state);
    this.#handovers.stateChanged(state);
    this.#view.touch(vr);
    if (!haveSameConfiguration(before, state)) this.#configurations.touch(vr);
    if (!areAnnouncedAlike(before, state)) this.#announcement.age();
    this.#telling.soon(this.#announcement.isOld ? recordAfterMs : undefined);
  }

  #dataplaneGone(cause: string | undefined): void {
    if (this.#stopped) return;
    this.#shown.showSnapshot();
    this.#metrics.dataplaneLost();
    this.#episodes.dataplaneGone();
    this.#leases.dataplaneGone();
    this.#snapshots.forget();
    this.#announcement.forget();
    this.#handovers.dataplaneGone();
    if (this.#dataplaneEnded) {
      this.#log.info('the dataplane has ended');
    } else {
      this.#log.error({ cause }, 'the dataplane is gone');
      const seenMs = this.#together.awakeSinceMs;
      this.#journal.observeLater({ type: 'dataplaneLost', reason: cause ?? 'the connection ended', seenMs });
      this.#ownerships.dataplaneDied();
    }
    this.#node.dataplaneGone();
  }

  #adopted(gone: readonly string[]): void {
    for (const name of gone) void this.#metrics.retractVr(name);
    this.#shown.declareTold();
    this.#telling.now();
  }

  // ── what others see ───────────────────────────────────────────────────────────────────────────────────────────────

  #sources(): HttpSources {
    const { told } = this.#node;
    return {
      metricsText: () => this.#shown.text(),
      health: () => judgeHealth(performance.now() - this.#tickAtMs, this.#dataplane.up),
      ready: () => {
        const { reachable, status } = this.#events;
        return judgeReadiness(
          this.#node.config,
          this.#dataplane.up,
          told.values(),
          { reachable, why: status.problem ?? status.state },
          this.#drains.sinceMs,
          this.#logServer.watch,
        );
      },
      status: () =>
        composeStatus({
          config: this.#node.config,
          version: buildInfo().version,
          configFile: resolve(this.#file),
          drainedSinceMs: this.#drains.sinceMs,
          nowMs: Date.now(),
          log: this.#events.status,
          logReachable: this.#events.reachable,
          state: this.#events.state,
          outboxEvents: this.#outbox?.pending ?? 0,
          dataplaneUp: this.#dataplane.up,
          snapshot: this.#snapshots.read(),
          vrs: told,
          configurations: this.#configurations,
          leaseOf: (node) => this.#leases.report(node),
          episodes: this.#episodes.report(this.#node.name, this.#events.state),
          notices: [this.#inForce.mismatch, this.#logServer.watch?.notice, this.#leases.notice].filter(
            (notice) => notice !== undefined,
          ),
        }),
      timeline: (query) => this.#timeline.read(query),
      followTimeline: (query, signal) => this.#timeline.follow(query, signal),
    };
  }
}

/** Whether an event may change what is to be said or agreed of a configuration; most change an ownership alone. */
const concernsNodes = (event: KoiEvent): boolean =>
  isConfiguration(event) || event.payload.type === 'nodeStarted' || event.payload.type === 'nodeStopped';

const newEventId = (): string => eventId(Date.now(), randomBytes(10));

const clock = (): { readonly wallMs: number; readonly monotonicMs: number } => ({
  wallMs: Date.now(),
  monotonicMs: Number(process.hrtime.bigint()) / 1e6,
});
