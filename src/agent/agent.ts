import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { digestOf } from '../config/reread.js';
import { routerNamed } from '../config/router-named.js';
import { logSubject } from '../core/detect/episode.js';
import type { FoundTogether } from '../core/detect/held-together.js';
import { placeOf } from '../core/election-rules.js';
import { readyAnswerTimeoutMs } from '../core/handover.js';
import { type BootId, bootId, type NodeId, nodeId } from '../core/identity.js';
import { successorAtRestart } from '../core/ownership.js';
import type { ClaimAnswer } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { logServerSocketPath } from '../ipc/log-server-message.js';
import type { ToAgent, VrStateMessage } from '../ipc/protocol.js';
import { rehearseMessages } from '../ipc/rehearsal.js';
import { isConfiguration, isOwnership, type KoiEvent } from '../log/event.js';
import { eventId } from '../log/event-id.js';
import { type JetStreamLogs, openJetStreamLogs } from '../log/jetstream.js';
import { LeaderSteering } from '../log/leader-steering.js';
import { Outbox } from '../log/outbox.js';
import type { PeerAnswer, PeerMessage } from '../log/peer-channel.js';
import type { AppendResult, Follower, LogStatus } from '../log/port.js';
import { contendersFor, emptyLogState, fold, type LogState, rewind } from '../log/projection.js';
import { realTimers } from '../log/timers.js';
import { buildInfo } from '../observe/build-info.js';
import { type Listening, serveControl, serveHttp } from '../observe/http.js';
import type { HttpSources } from '../observe/http-sources.js';
import { createMetrics, type KoiMetrics } from '../observe/metrics.js';
import { Scrape } from '../observe/scrape.js';
import type { ServiceManager } from '../observe/service-manager.js';
import { ClockWatch } from './clock-watch.js';
import { ConfigDesk } from './config-desk.js';
import { controlActions } from './control-actions.js';
import { DataplanePort } from './dataplane-port.js';
import { DrainDesk } from './drain-desk.js';
import { type AgentEpisode, EpisodeDesk } from './episode-desk.js';
import { presentAddresses } from './gone-addresses.js';
import { HandoverDesk } from './handover-desk.js';
import { evidenceOfTogether, HeldTogetherDesk } from './held-together-desk.js';
import { HolderVerdicts } from './holder-verdicts.js';
import { Journal, recordAfterMs } from './journal.js';
import { LanCheckDesk } from './lan-check-desk.js';
import { Leases } from './leases.js';
import { LogMastersWatch } from './log-masters-watch.js';
import { LogServerWatch } from './log-server-watch.js';
import { logServers } from './log-servers.js';
import { addressesOf, LogViewer } from './log-view.js';
import { metricWords } from './metric-words.js';
import { OwnershipDesk, type ReleaseOrder } from './ownership-desk.js';
import { peerReadiness, unheard } from './peer-readiness.js';
import { judgeHealth, judgeReadiness } from './readiness.js';
import { RecentEvents } from './recent-events.js';
import { ReleaseDesk } from './release-desk.js';
import { type ConfigFile, ReloadDesk, waitingIn } from './reload-desk.js';
import { agentStatus } from './service-status.js';
import { SnapshotShelf } from './snapshot-shelf.js';
import { composeStatus } from './status-report.js';
import { steeringPlace } from './steering-place.js';
import { Telling } from './telling.js';
import { Timeline } from './timeline.js';

/** After the dataplane died, how long to wait for its addresses to go, and how often to look. */
const goneDeadlineMs = 10_000;
const goneLookMs = 5;
const stopDeadlineMs = 2000;
const tickEveryMs = 1000;
/** The node's entry in the log is renewed at most so often, however fast what it tracks comes and goes. */
const announceEveryMs = 1000;

/** Joins event log, configuration, HTTP and dataplane. Holds no capability, and nothing it does can delay an advert. */
export class Agent {
  #config: KoiConfig;
  readonly #log: Logger;
  readonly #logs: JetStreamLogs;
  readonly #metrics: KoiMetrics;
  readonly #scrape: Scrape;
  readonly #desk: OwnershipDesk;
  readonly #vrStates = new Map<string, VrStateMessage>();
  readonly #releases: ReleaseDesk;
  readonly #journal: Journal;
  readonly #episodes = new EpisodeDesk();
  readonly #logMasters: LogMastersWatch;
  readonly #together: HeldTogetherDesk;
  readonly #lanChecks: LanCheckDesk;
  readonly #clock = new ClockWatch();
  readonly #verdicts = new HolderVerdicts();
  readonly #handovers: HandoverDesk;
  readonly #drains: DrainDesk;
  readonly #leases: Leases;
  readonly #recent = new RecentEvents();
  readonly #timeline: Timeline;
  readonly #listening: Listening[] = [];
  #outbox: Outbox | undefined;
  #dataplane: DataplanePort | undefined;
  #logServer: LogServerWatch | undefined;
  #steering: LeaderSteering | undefined;
  #viewer: LogViewer;
  #boot: BootId = bootId('');
  #state: LogState = emptyLogState;
  #status: LogStatus = { state: 'connecting', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };
  #caughtUp = false;
  #logLostAtMs: number | undefined;
  readonly #snapshots = new SnapshotShelf();
  #follower: Follower | undefined;
  #tickAtMs = performance.now();
  #timers: NodeJS.Timeout[] = [];
  #announcedBoot: string | undefined;
  #announcedAtMs = Number.NEGATIVE_INFINITY;
  /** The dataplane has told something else of a virtual router than what was announced. */
  #isAnnouncedOld = false;
  #announceTimer: NodeJS.Timeout | undefined;
  readonly #telling: Telling;
  /** Virtual routers of which the dataplane may have to be told something else. */
  #touched = new Set<string>();
  readonly #reloads: ReloadDesk;
  readonly #configurations: ConfigDesk;
  readonly #file: string;
  readonly #service: ServiceManager | undefined;
  /** The file is not what the dataplane runs with, and why. */
  #mismatch: string | undefined;
  #dataplaneEnded = false;
  #stopped = false;

  private constructor(config: KoiConfig, log: Logger, source: ConfigFile) {
    this.#config = config;
    this.#file = source.file;
    this.#service = source.service;
    this.#reloads = new ReloadDesk(source, (message) => this.#dataplane?.send(message) ?? false);
    this.#log = log;
    const { authentication, tls, replicas, embedded } = config.log;
    this.#logs = openJetStreamLogs({
      servers: logServers(config.log),
      inOrder: embedded !== undefined,
      name: config.node,
      authentication,
      tls,
      cluster: config.cluster,
      replicas,
      answerPeer: (message) => this.#answerPeer(message),
    });
    this.#timeline = new Timeline({
      log: this.#logs.events,
      recent: this.#recent,
      trouble: () => (this.#reachable ? undefined : logTrouble(this.#status)),
      now: () => performance.now(),
    });
    this.#metrics = createMetrics(buildInfo(), metricWords());
    this.#metrics.setNode(config.node, config.cluster);
    this.#scrape = new Scrape({
      now: () => performance.now(),
      render: () => {
        this.#showSnapshot();
        const { remainingMs, durationMs } = this.#leases;
        this.#metrics.setLease({ remainingMs, durationMs });
        const { node } = this.#config;
        this.#metrics.setEpisodes(this.#episodes.report(node, this.#state).filter((each) => each.node === node));
        return this.#metrics.text();
      },
    });
    this.#logMasters = this.#watchLogMasters();
    this.#together = new HeldTogetherDesk({
      node: config.node,
      now: () => clock().monotonicMs,
      timers: realTimers,
      isMaster: (vr) => this.#vrStates.get(vr)?.state === 'master',
      hasToldAll: () => !this.#journal.isWaiting && this.#outbox?.pending === 0,
      onFound: (found) => this.#heldTogether(found),
    });
    this.#lanChecks = new LanCheckDesk({
      node: config.node,
      peers: this.#logs.peers,
      state: () => this.#state,
      snapshot: () => this.#snapshots.read(),
      lostPaths: () => this.#episodes.lostPaths,
      wallNow: Date.now,
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
    this.#viewer = this.#newViewer();
    this.#telling = new Telling({
      view: (isAll) => this.#tellView(isAll),
      whole: (isAll) => this.#tellWhole(isAll),
      later: (act) => void setImmediate(act),
      timers: realTimers,
    });
    this.#desk = new OwnershipDesk({
      log: this.#logs.events,
      cluster: config.cluster,
      node: nodeId(config.node),
      priorityOf: (name) => {
        const vr = routerNamed(this.#config, name);
        return vr === undefined ? 0 : this.#place(vr);
      },
      holderVerdict: (vr, claim, reason) => this.#verdicts.of(vr, claim, reason),
      state: () => this.#state,
      newEventId,
      clock,
      onAppend: (result, durationMs) => this.#appended(result, durationMs),
      onWritten: (vr) => void this.#touched.add(vr),
      onFailed: (what, vr, error) => log.error({ vr, err: error }, `${vr}: ${what} may not be in the log`),
    });
    this.#releases = new ReleaseDesk({
      desk: this.#desk,
      reachable: () => this.#reachable,
      onWritten: () => this.#telling.soon(),
    });
    this.#journal = new Journal({
      cluster: config.cluster,
      node: nodeId(config.node),
      boot: () => this.#boot,
      ownership: (vr) => this.#desk.newest(vr),
      newEventId,
      clock,
      logRead: () => this.#together.lastRead,
      add: (event) => {
        this.#together.tells(event);
        this.#outbox?.add(event);
      },
      onTaken: (number) => this.#dataplane?.send({ type: 'taken', number }),
      isWanted: () => this.#desk.isBusy,
    });
    this.#handovers = new HandoverDesk({
      node: nodeId(config.node),
      state: () => this.#state,
      reachable: () => this.#reachable,
      told: (vr) => this.#vrStates.get(vr),
      newest: (vr) => this.#desk.newest(vr),
      arbitrationOf: (vr) => routerNamed(this.#config, vr)?.arbitration,
      ownRouters: () => this.#config.virtualRouters.map(({ name }) => name),
      send: (message) => this.#dataplane?.send(message) ?? false,
      peers: this.#logs.peers,
      now: () => performance.now(),
    });
    this.#configurations = new ConfigDesk({
      log: this.#logs.events,
      cluster: config.cluster,
      node: nodeId(config.node),
      boot: () => this.#boot,
      state: () => this.#state,
      reachable: () => this.#reachable,
      vrs: () => this.#vrStates,
      hasJustSpoken: (spokeAtMs) => this.#leases.hasJustSpoken(spokeAtMs),
      mayRun: ({ node }, spokeAtMs) => this.#leases.mayRun(node, spokeAtMs),
      send: (message) => this.#dataplane?.send(message) ?? false,
      newEventId,
      clock,
      timers: realTimers,
      onDiffers: (vr, words) => this.#configurationDiffers(vr, words),
      isWanted: () => this.#desk.isBusy,
    });
    this.#drains = new DrainDesk({
      stateDir: config.stateDir,
      routers: () => this.#config.virtualRouters.map(({ name }) => name),
      told: (vr) => this.#vrStates.get(vr),
      handOver: (vr, timeoutMs, updating, passOver) =>
        this.#handovers.handOverHere({
          vr,
          to: updating ? this.#updatedSuccessor(vr) : undefined,
          timeoutMs,
          passOver,
        }),
      send: (message) => this.#dataplane?.send(message) ?? false,
      onChange: (drained, force) => this.#drainChanged(drained, force),
      wallNow: Date.now,
    });
    this.#metrics.setDrained(this.#drains.sinceMs !== undefined);
    this.#leases = new Leases({
      config: () => this.#config,
      logs: this.#logs,
      reachable: () => this.#reachable,
      boot: () => this.#boot,
      dataplaneIsUp: () => this.#dataplane?.up === true,
      send: (message) => this.#dataplane?.send(message) ?? false,
      told: (vr) => this.#vrStates.get(vr),
      onAsked: (vr, claim) => this.#verdicts.asked(vr, claim),
      onRead: (stored) => this.#together.read(stored),
      onVerdict: (vr, claim, verdict) => this.#verdicts.note(vr, claim, verdict),
      observe: (payload) => this.#journal.observe(payload),
      onAppend: (result, durationMs) => this.#appended(result, durationMs),
      log,
      newEventId,
      clock,
    });
  }

  #appended(result: AppendResult, durationMs: number): void {
    this.#metrics.logAppended(durationMs);
    if (result.kind === 'conflict') this.#metrics.logConflicted();
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
    const config = this.#config;
    for (const vr of config.virtualRouters) {
      this.#metrics.declareVr({
        name: vr.name,
        id: vr.id,
        protocol: vr.protocol,
        interface: vr.interface.value,
        virtualMac: '',
        priority: placeOf(electionOf(vr)),
        vips: vr.addresses.map(({ address }) => address),
      });
    }
    this.#outbox = await Outbox.open({
      path: join(config.stateDir, 'outbox'),
      node: config.node,
      names: this.#logs.names,
      log: this.#logs.events,
      summarize: ({ count, firstMs, lastMs }) => this.#journal.event({ type: 'eventsDropped', count, firstMs, lastMs }),
      onTrouble: (error) => this.#log.error({ err: error }, 'the outbox has a problem'),
      onChange: () => this.#showLog(),
      isWanted: () => this.#desk.isBusy,
    });
    const sources = this.#sources();
    this.#listening.push(
      await serveControl({
        path: config.control,
        sources,
        actions: controlActions({
          reload: (force) => this.reload(force),
          handovers: this.#handovers,
          drains: this.#drains,
          examine: async () => ({ heard: await this.#lanChecks.check(), clock: this.#clock.jumps }),
        }),
      }),
    );
    this.#listening.push(await serveHttp({ listen: config.http.listen, sources }));
    this.#logs.events.watch((status) => this.#logChanged(status));
    this.#follower = this.#logs.events.follow({
      from: 1,
      onEvent: (stored) => {
        this.#recent.add(stored);
        this.#state = fold(this.#state, this.#logs.names, stored);
        this.#together.read(stored);
        if (this.#caughtUp && stored.event !== undefined && isOwnership(stored.event)) this.#desk.saw();
        if (this.#caughtUp) this.#tellOf(stored.event);
      },
      onCaughtUp: () => {
        this.#caughtUp = true;
        this.#recent.caughtUp();
        this.#together.caughtUp();
        this.#leases.followsEvents(this.#reachable);
        this.#telling.now();
        void this.#releases.flush();
      },
      onGap: (gap) => {
        this.#log.error({ gap }, 'the log is not the one that was read before; terms are kept');
        this.#metrics.logRegressed();
        this.#journal.observe({ type: 'logRegressed', ...gap });
        if (gap.kind === 'missing') return;
        this.#recent.forget();
        this.#state = rewind(this.#state);
        this.#desk.forget();
        this.#together.readsAgain();
        this.#configurations.forget();
        this.#caughtUp = false;
        this.#leases.followsEvents(false);
        this.#announcedBoot = undefined;
      },
    });
    if (config.log.embedded !== undefined) this.#logServer = this.#watchLogServer();
    this.#leases.start();
    this.#together.start();
    if (config.log.embedded?.cluster !== undefined) this.#steering = this.#steerLeaders();
    rehearseMessages.toAgent();
    this.#dataplane = new DataplanePort({
      path: dataplaneSocketPath(config.control),
      node: config.node,
      onMessage: (message) => this.#fromDataplane(message),
      onSnapshot: (line) => this.#snapshots.put(line),
      onUp: () => this.#log.info('connected to the dataplane'),
      onDown: (cause) => this.#dataplaneGone(cause?.message),
      onTrouble: (error) => this.#log.warn({ reason: error.message }, 'the dataplane cannot be reached; trying on'),
    });
    this.#timers.push(
      setInterval(() => {
        this.#tickAtMs = performance.now();
        this.#tellService();
        this.#clock.look(Date.now(), this.#tickAtMs);
        this.#configurations.look();
        if (this.#reachable) this.#lookForMasters();
      }, tickEveryMs),
    );
    this.#log.info({ addresses: this.#listening.map(({ address }) => address) }, 'listening');
  }

  /** One more event of the log; undefined: one that cannot be read. */
  #tellOf(event: KoiEvent | undefined): void {
    if (event === undefined) for (const { name } of this.#config.virtualRouters) this.#touched.add(name);
    else if ('vr' in event && event.vr !== undefined) this.#touched.add(event.vr);
    if (event !== undefined && isConfiguration(event)) this.#configurations.touch(event.vr);
    this.#telling.soon(event !== undefined && concernsNodes(event) ? 0 : undefined);
  }

  #tellService(): void {
    if (this.#service === undefined) return;
    this.#service.tick();
    const problem = this.#status.problem ?? this.#status.state;
    this.#service.status(
      agentStatus({ dataplaneUp: this.#dataplane?.up === true, logReachable: this.#reachable, problem }),
    );
  }

  #lookForMasters(): void {
    this.#logMasters.look(this.#config.virtualRouters.map(({ name }) => name));
    this.#together.look();
  }

  #watchLogMasters(): LogMastersWatch {
    const kind = 'split_brain';
    const subject = logSubject;
    return new LogMastersWatch({
      state: () => this.#state,
      leaseOf: (node) => this.#leases.report(node),
      lastsMs: () => 2 * this.#config.lease.ttlMs,
      now: () => performance.now(),
      onBegan: (vr, { nodes, evidence }) => {
        this.#log.error({ vr, nodes }, 'the log has two masters that are alive');
        this.#metrics.splitBrainInLog(vr);
        this.#note({ kind, vr, subject, evidence });
      },
      onEnded: (vr, { nodes }, durationMs) => {
        this.#noteEnd({ kind, vr, subject }, Math.round(durationMs), `no more: ${nodes.join(', ')}`);
      },
    });
  }

  /** Another has held beside this node, and one of the two has let go: an episode that is over when it is known. */
  #heldTogether(found: FoundTogether): void {
    const { vr, rival, togetherMs } = found;
    const about = { kind: 'split_brain', vr, subject: rival };
    this.#log.error({ vr, rival, togetherMs }, 'two masters have served at the same time, says the log');
    this.#metrics.splitBrainInLog(vr);
    this.#note({ ...about, evidence: evidenceOfTogether(found) });
    this.#noteEnd(about, Math.round(togetherMs), 'one of the two has let go');
  }

  /** An episode that the agent itself sees. */
  #note(about: Omit<AgentEpisode, 'sinceWallMs'>): void {
    const { kind, vr, subject, evidence } = about;
    this.#episodes.note({ ...about, sinceWallMs: Date.now() });
    this.#journal.observe({ type: 'episodeBegan', kind, subject, evidence }, undefined, vr === null ? {} : { vr });
  }

  #noteEnd(about: Pick<AgentEpisode, 'kind' | 'vr' | 'subject'>, durationMs: number, reason: string): void {
    const { kind, vr, subject } = about;
    this.#episodes.noteEnd(about);
    const payload = { type: 'episodeEnded', kind, subject, durationMs, reason } as const;
    this.#journal.observe(payload, undefined, vr === null ? {} : { vr });
  }

  #watchLogServer(): LogServerWatch {
    const kind = 'log_server_down';
    return new LogServerWatch({
      path: logServerSocketPath(this.#config.control),
      onDown: (why) => {
        this.#log.error({ why }, "this node's nats-server does not serve");
        this.#note({ kind, vr: null, subject: '', evidence: [{ key: 'why', value: why }] });
      },
      onUp: (outageMs) => {
        this.#log.info({ outageMs }, "this node's nats-server serves again");
        this.#noteEnd({ kind, vr: null, subject: '' }, Math.round(outageMs), 'it serves again');
      },
      onChange: (server) => this.#metrics.setLogServer(server),
    });
  }

  /** Servers run by Koi carry their nodes' names; whose others are is not known here, and they are left alone. */
  #steerLeaders(): LeaderSteering {
    return new LeaderSteering({
      streams: this.#logs.streams,
      self: this.#config.node,
      place: () =>
        this.#reachable
          ? steeringPlace(this.#config.node, this.#vrStates.values(), this.#state, Date.now())
          : undefined,
      onMoved: (stream, to) => this.#log.info({ stream, to }, 'moved the leader of the log away from this master'),
      onTrouble: (stream, error) => this.#log.warn({ stream, reason: error.message }, "the log's leader stays here"),
    });
  }

  /** Gives what is left to the log, within a deadline, and ends. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#announceTimer);
    this.#telling.stop();
    this.#drains.stop();
    this.#leases.stop();
    this.#together.stop();
    this.#configurations.stop();
    this.#journal.flush();
    this.#dataplane?.stop();
    this.#logServer?.stop();
    this.#steering?.stop();
    this.#releases.stop();
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, stopDeadlineMs).unref());
    await Promise.race([this.#settle(), deadline]);
    this.#follower?.stop();
    await Promise.allSettled(this.#listening.map((listening) => listening.close()));
    await Promise.race([this.#outbox?.close() ?? Promise.resolve(), deadline]);
    await Promise.race([this.#logs.close(), deadline]);
  }

  async #settle(): Promise<void> {
    if (!this.#reachable) return;
    await this.#releases.flush();
    while ((this.#outbox?.pending ?? 0) > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────

  get #reachable(): boolean {
    return this.#status.state === 'connected' && this.#caughtUp && !this.#status.lagging;
  }

  #logChanged(status: LogStatus): void {
    const before = this.#status;
    this.#status = status;
    if (status.reconnects > before.reconnects) this.#metrics.logReconnected();
    // Before the first connection the state stays `connecting`; what keeps it there is told all the same.
    const isNewProblem = status.problem !== undefined && before.problem === undefined;
    if (status.state !== before.state || isNewProblem) this.#logMoved(before.state, status);
    this.#leases.followsEvents(this.#reachable);
    this.#showLog();
    // How far the reader is behind changes with each event.
    const isAnother = status.state !== before.state || status.lagging !== before.lagging || isNewProblem;
    if (isAnother || status.reconnects !== before.reconnects) this.#telling.now();
  }

  #logMoved(from: LogStatus['state'], status: LogStatus): void {
    const { state: to, problem } = status;
    if (to === 'connected') {
      this.#log.info({ server: status.server }, 'the event log can be reached');
      if (this.#logLostAtMs !== undefined) {
        this.#journal.observe({ type: 'logRejoined', outageMs: performance.now() - this.#logLostAtMs });
        this.#logLostAtMs = undefined;
      }
    } else {
      this.#caughtUp = false;
      if (to === 'stopped') return;
      const remedy = 'koi runs on as onLogLoss says; see that a NATS server answers at log.servers';
      const report = { from, to, problem, servers: logServers(this.#config.log), remedy };
      if (to === 'unfit') this.#log.error(report, 'the event log cannot keep the promises');
      else this.#log.warn(report, 'the event log cannot be reached');
      if (from === 'connected' && !this.#stopped) {
        this.#logLostAtMs = performance.now();
        this.#journal.observe({ type: 'logLost', reason: problem ?? to });
      }
    }
  }

  #showSnapshot(): void {
    const snapshot = this.#snapshots.read();
    if (snapshot !== undefined) this.#metrics.apply(snapshot);
  }

  #showLog(): void {
    this.#metrics.setLog({
      connected: this.#reachable,
      outboxEvents: this.#outbox?.pending ?? 0,
      lagEvents: this.#status.lagEvents,
    });
  }

  #tellWhole(isAll: boolean): void {
    if (this.#dataplane?.up !== true) return;
    if (isAll || this.#isAnnouncedOld) this.#announceNode();
    if (isAll) this.#configurations.look();
    else this.#configurations.lookAtTouched();
  }

  #tellView(isAll: boolean): void {
    this.#showLog();
    const touched = isAll ? undefined : this.#touched;
    this.#touched = new Set();
    // One that comes is told everything.
    if (this.#dataplane?.up !== true) return;
    const message = this.#viewer.next(this.#state, this.#reachable, (vr) => this.#desk.newest(vr), touched);
    if (message !== undefined) this.#dataplane.send(message);
  }

  /** The node's entry in the log: its virtual routers, priorities and LAN addresses, from which others see its place. */
  #announceNode(): void {
    const routers = this.#config.virtualRouters.map((vr) => ({
      name: vr.name,
      protocol: vr.protocol,
      id: vr.id,
      priority: this.#place(vr),
      interface: vr.interface.value,
      addresses: vr.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      lanAddress: this.#vrStates.get(vr.name)?.lanAddress ?? '',
      arbitration: vr.arbitration,
      ...configurationReported(this.#vrStates.get(vr.name)),
    }));
    const drained = this.#drains.sinceMs !== undefined;
    const said = JSON.stringify([this.#boot, routers, drained]);
    if (!this.#reachable) return;
    this.#isAnnouncedOld = false;
    if (said === this.#announcedBoot) return;
    const waitMs = this.#announcedAtMs + announceEveryMs - performance.now();
    if (this.#announcedBoot !== undefined && waitMs > 0) {
      this.#announceTimer ??= setTimeout(() => {
        this.#announceTimer = undefined;
        this.#telling.now();
      }, waitMs);
      return;
    }
    this.#announcedBoot = said;
    this.#announcedAtMs = performance.now();
    this.#journal.observe({
      type: 'nodeStarted',
      version: buildInfo().version,
      virtualRouters: routers,
      ...(drained ? { drained } : {}),
    });
  }

  #updatedSuccessor(vr: string): NodeId | undefined {
    const state = this.#state;
    const contenders = contendersFor(state, vr).map((each) => ({
      ...each,
      runsSinceMs: state.nodes.get(each.node)?.run.sinceMs ?? 0,
    }));
    const preempt = routerNamed(this.#config, vr)?.preempt.enabled ?? true;
    return successorAtRestart(contenders, nodeId(this.#config.node), { preempt, nowMs: Date.now() });
  }

  #drainChanged(drained: boolean, force: boolean): void {
    this.#log.warn({ drained, force }, drained ? 'this node is drained' : 'this node is back in service');
    this.#metrics.setDrained(drained);
    this.#journal.observe({ type: 'drainChanged', drained, force });
    // Others must know before anything is handed over that it cannot come back.
    this.#announcedAtMs = Number.NEGATIVE_INFINITY;
    this.#telling.now();
  }

  // ── the dataplane ─────────────────────────────────────────────────────────────────────────────────────────────────

  #fromDataplane(message: ToAgent): void {
    switch (message.type) {
      case 'hello':
        this.#dataplaneEnded = false;
        this.#boot = bootId(message.boot);
        this.#viewer = this.#newViewer();
        this.#episodes.dataplaneCame(message);
        for (const state of message.vrs) this.#vrStates.set(state.vr, state);
        this.#drains.dataplaneCame(message.boot);
        this.#configurations.dataplaneCame();
        this.#followDataplane(message.digest);
        this.#declare();
        this.#leases.dataplaneUp();
        this.#telling.now();
        return;
      case 'reloaded':
        this.#snapshots.keep(message.vrs.map(({ vr }) => vr));
        for (const state of message.vrs) {
          this.#vrStates.set(state.vr, state);
          this.#touched.add(state.vr);
        }
        if (!this.#reloads.answered(message) && message.problem === null) {
          this.#tellOfReload(message.digest, message.changes);
          this.#followDataplane(message.digest);
        }
        this.#configurations.routersCame();
        this.#isAnnouncedOld = true;
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
        void this.#claim(message);
        return;
      case 'released':
        this.#release(message);
        return;
      case 'askReady':
        void this.#askReady(message);
        return;
      case 'startHandover':
        void this.#startHandover(message);
        return;
      case 'tellServing':
        this.#logs.peers.tell(message.to, {
          type: 'iServe',
          from: this.#config.node,
          vr: message.vr,
          term: message.term,
        });
        return;
      case 'askHandover':
        if (this.#drains.sinceMs !== undefined) return;
        this.#logs.peers.tell(message.of, { type: 'handOverToMe', from: this.#config.node, vr: message.vr });
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
    const before = this.#vrStates.get(vr);
    this.#vrStates.set(vr, state);
    this.#metrics.setVrState(vr, state.state);
    this.#handovers.stateChanged(state);
    this.#touched.add(vr);
    const isConfigurationNew = !haveSameConfiguration(before, state);
    if (isConfigurationNew) this.#configurations.touch(vr);
    if (isConfigurationNew || !areAnnouncedAlike(before, state)) this.#isAnnouncedOld = true;
    this.#telling.soon(this.#isAnnouncedOld ? recordAfterMs : undefined);
  }

  async #claim(message: Extract<ToAgent, { type: 'claim' }>): Promise<void> {
    const answer = this.#reachable
      ? await this.#desk.claim(message, this.#boot)
      : ({ kind: 'unavailable', maybeStored: false } as const);
    const { vr, claim, term: claimed } = message;
    this.#dataplane?.send({ type: 'claimAnswer', vr, claim, term: claimed, answer });
    if (answer.kind === 'stored') this.#telling.soon();
  }

  // ── reloading ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Reads the configuration file again and has it applied, as a whole or not at all.
   * @param force what the nodes have in common is changed on this one without waiting for the others
   * @returns what changed, what could not be brought about, and what waits for the other nodes, for people
   * @throws KoiError `config` naming every problem of the file, `unreachable` without a dataplane
   */
  async reload(force = false): Promise<{
    readonly file: string;
    readonly changes: readonly string[];
    readonly warnings: readonly string[];
    readonly waiting: readonly string[];
    /** What the nodes have in common and was changed here all the same, a line each. */
    readonly remarks: readonly string[];
  }> {
    this.#service?.reloading();
    try {
      return await this.#reload(force);
    } finally {
      this.#service?.ready();
    }
  }

  async #reload(force: boolean): ReturnType<Agent['reload']> {
    const before = this.#configurations.runningNow();
    const { config, answer } = force
      ? await this.#reloads.reload(this.#config)
      : await this.#configurations.whileTakenBack(() =>
          this.#reloads.reload(
            this.#config,
            this.#configurations.guarded((vr) => this.#mayWithoutLog(vr)),
          ),
        );
    const remarks = this.#configurations.remarks(before, force);
    this.#adopt(config);
    this.#tellOfReload(answer.digest, answer.changes);
    if (force) this.#configurations.force(answer.vrs);
    const { changes, warnings } = answer;
    return { file: this.#file, changes, warnings, waiting: waitingIn(answer.vrs), remarks };
  }

  /** Without the log's word the operator may change here what the others have as well. */
  #mayWithoutLog(name: string): boolean {
    const router = routerNamed(this.#config, name);
    return router === undefined || router.arbitration === 'wire' || router.onLogLoss === 'wire';
  }

  #configurationDiffers(vr: string, words: string | undefined): void {
    const kind = 'configuration_differs';
    if (words === undefined) {
      this.#log.info({ vr }, 'this node has the configuration that is in force');
      this.#noteEnd({ kind, vr, subject: '' }, 0, 'agreed');
      return;
    }
    const remedy = 'give all nodes the same, and koi reload; koi status says who differs in what';
    this.#log.warn({ vr, difference: words, remedy }, 'this node has another configuration than the one in force');
    this.#note({ kind, vr, subject: '', evidence: [{ key: 'difference', value: words }] });
  }

  /** The same, told to the log only. */
  async reloadOnSignal(): Promise<void> {
    try {
      const { changes, warnings, waiting, remarks } = await this.reload();
      this.#log.info({ changes, warnings, waiting, remarks }, 'reloaded');
    } catch (error) {
      this.#log.error({ err: error }, 'the configuration was not reloaded; the one before stays in force');
    }
  }

  #tellOfReload(digest: string, changes: readonly string[]): void {
    if (changes.length > 0) this.#journal.observe({ type: 'configApplied', digest, changes });
  }

  /** The dataplane says what is in force: the file, or what the file said before. */
  #followDataplane(digest: string): void {
    this.#mismatch = undefined;
    if (digestOf(this.#config) === digest) return;
    const found = this.#reloads.match(this.#config, digest, this.#vrStates.values());
    if (typeof found !== 'string') {
      this.#adopt(found);
      return;
    }
    this.#mismatch = found;
    this.#log.warn(found);
  }

  #adopt(config: KoiConfig): void {
    this.#mismatch = undefined;
    const gone = this.#config.virtualRouters.filter(({ name }) => routerNamed(config, name) === undefined);
    this.#config = config;
    for (const { name } of gone) {
      this.#vrStates.delete(name);
      void this.#metrics.retractVr(name);
    }
    this.#declare();
    this.#telling.now();
  }

  // ── handover ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #askReady({ vr, to, term: asked }: Extract<ToAgent, { type: 'askReady' }>): Promise<void> {
    const question = { type: 'areYouReady', from: this.#config.node, vr, term: asked } as const;
    const answer = await this.#logs.peers.ask(to, question, readyAnswerTimeoutMs);
    if (answer?.ready !== true) this.#log.warn({ vr, to, reason: answer?.reason ?? 'no answer' }, 'cannot hand over');
    this.#handovers.progressed(vr, answer === undefined ? `${to} does not answer` : answer.reason);
    const ready = { ready: answer?.ready === true, highestTerm: answer?.highestTerm ?? 0 };
    this.#dataplane?.send({ type: 'peerReady', vr, from: to, ...ready });
  }

  async #startHandover(message: Extract<ToAgent, { type: 'startHandover' }>): Promise<void> {
    const answer = this.#reachable
      ? await this.#desk.startHandover(message, this.#boot)
      : ({ kind: 'unavailable', maybeStored: false } as const);
    const { vr, claim, term: handed } = message;
    this.#handovers.progressed(vr, whyNotStarted(answer), handed);
    this.#dataplane?.send({ type: 'claimAnswer', vr, claim, term: handed, answer });
    if (answer.kind === 'stored') this.#telling.soon();
  }

  /** Another node asks or tells. What it may do here is bounded: a handover needs the log's word as well. */
  #answerPeer(message: PeerMessage): PeerAnswer | Promise<PeerAnswer> {
    const { vr, from } = message;
    switch (message.type) {
      case 'areYouReady':
        return this.#areYouReady(message);
      case 'iServe':
        this.#dataplane?.send({ type: 'peerServes', vr, from, term: message.term });
        break;
      case 'handOverToMe':
        this.#dataplane?.send({ type: 'handOver', vr, to: from });
        break;
      case 'doYouServe':
        return this.#leases.asked(message);
      case 'doYouHear':
        return this.#lanChecks.answer(vr, from);
      case 'handOver':
        return this.#handovers.answer({ vr, to: message.to ?? undefined, timeoutMs: message.timeoutMs });
    }
    return { ready: true, reason: '' };
  }

  async #areYouReady({ vr, from }: Extract<PeerMessage, { type: 'areYouReady' }>): Promise<PeerAnswer> {
    if (failpoints !== undefined) await failpoints.reached('prepare.asked');
    const readiness = (): PeerAnswer =>
      peerReadiness(
        vr,
        this.#dataplane?.up === true ? this.#vrStates.get(vr) : undefined,
        this.#drains.sinceMs !== undefined,
        this.#state.virtualRouters.get(vr)?.highestTerm ?? 0,
      );
    const now = readiness();
    if (!now.ready) return now;
    const giver = addressesOf(this.#state.nodes.get(nodeId(from))?.virtualRouters ?? []);
    return (await this.#leases.isHeardOnLan(vr, giver)) ? readiness() : { ...readiness(), ...unheard };
  }

  #release(message: Extract<ToAgent, { type: 'released' }>): void {
    const { vr, term: ended, reason, number } = message;
    const order: ReleaseOrder = { vr, term: ended, reason, boot: this.#boot };
    this.#releases.add(order, message.resigned, () => this.#dataplane?.send({ type: 'taken', number }));
  }

  /** The dataplane died: its guard takes the addresses off. What it owned is released once that has been read. */
  #dataplaneGone(cause: string | undefined): void {
    if (this.#stopped) return;
    this.#showSnapshot();
    this.#metrics.dataplaneLost();
    this.#episodes.dataplaneGone();
    this.#leases.dataplaneGone();
    this.#snapshots.forget();
    this.#announcedBoot = undefined;
    this.#handovers.dataplaneGone();
    if (this.#dataplaneEnded) {
      this.#log.info('the dataplane has ended');
      this.#vrStates.clear();
      return;
    }
    this.#log.error({ cause }, 'the dataplane is gone');
    const boot = this.#boot;
    const seenMs = this.#together.awakeSinceMs;
    this.#journal.observeLater({ type: 'dataplaneLost', reason: cause ?? 'the connection ended', seenMs });
    for (const vr of this.#config.virtualRouters) {
      const held = this.#desk.newest(vr.name);
      if (held === undefined || held.released || held.owner !== this.#config.node || held.boot !== boot) continue;
      const order: ReleaseOrder = { vr: vr.name, term: held.term, reason: 'dataplane_lost', boot };
      this.#releaseWhenGone(
        order,
        vr.addresses.map(({ address }) => address),
        performance.now() + goneDeadlineMs,
      );
    }
    this.#vrStates.clear();
  }

  #releaseWhenGone(order: ReleaseOrder, addresses: readonly string[], deadlineMs: number): void {
    if (this.#stopped || this.#dataplane?.up === true) return;
    const left = presentAddresses(addresses);
    if (left.length === 0) {
      const done = (): void => this.#log.info({ vr: order.vr }, 'released on behalf of the dead dataplane');
      this.#releases.add(order, true, done);
      return;
    }
    if (performance.now() >= deadlineMs) {
      this.#log.error({ vr: order.vr, left }, 'the addresses of the dead dataplane would not go');
      return;
    }
    setTimeout(() => this.#releaseWhenGone(order, addresses, deadlineMs), goneLookMs);
  }

  // ── what others see ───────────────────────────────────────────────────────────────────────────────────────────────

  #sources(): HttpSources {
    return {
      metricsText: () => this.#scrape.text(),
      health: () => judgeHealth(performance.now() - this.#tickAtMs, this.#dataplane?.up === true),
      ready: () => {
        const log = { reachable: this.#reachable, why: this.#status.problem ?? this.#status.state };
        return judgeReadiness(
          this.#config,
          this.#dataplane?.up === true,
          this.#vrStates.values(),
          log,
          this.#drains.sinceMs,
          this.#logServer,
        );
      },
      status: () =>
        composeStatus({
          config: this.#config,
          version: buildInfo().version,
          configFile: resolve(this.#file),
          drainedSinceMs: this.#drains.sinceMs,
          nowMs: Date.now(),
          log: this.#status,
          logReachable: this.#reachable,
          state: this.#state,
          outboxEvents: this.#outbox?.pending ?? 0,
          dataplaneUp: this.#dataplane?.up === true,
          snapshot: this.#snapshots.read(),
          vrs: this.#vrStates,
          configurations: this.#configurations,
          leaseOf: (node) => this.#leases.report(node),
          episodes: this.#episodes.report(this.#config.node, this.#state),
          notices: [this.#mismatch, this.#logServer?.notice, this.#leases.notice].filter(
            (notice) => notice !== undefined,
          ),
        }),
      timeline: (query) => this.#timeline.read(query),
      followTimeline: (query, signal) => this.#timeline.follow(query, signal),
    };
  }

  #declare(): void {
    for (const vr of this.#config.virtualRouters) {
      const told = this.#vrStates.get(vr.name);
      if (told === undefined) continue;
      this.#metrics.declareVr({
        name: vr.name,
        id: vr.id,
        protocol: vr.protocol,
        interface: told.interface,
        virtualMac: told.virtualMac,
        priority: placeOf(electionOf(vr)),
        vips: vr.addresses.map(({ address }) => address),
      });
      this.#metrics.setVrState(vr.name, told.state);
    }
  }

  #priorities(names?: ReadonlySet<string>): readonly { readonly name: string; readonly priority: number }[] {
    const { virtualRouters } = this.#config;
    const asked =
      names === undefined ? virtualRouters : [...names].flatMap((name) => routerNamed(this.#config, name) ?? []);
    return asked.map((vr) => ({ name: vr.name, priority: this.#place(vr) }));
  }

  /** Where this node stands among the candidates, with what it tracks: 0 while it cannot serve, or may not. */
  #place(vr: VirtualRouterConfig): number {
    if (this.#drains.sinceMs !== undefined) return 0;
    const told = this.#vrStates.get(vr.name);
    if (told === undefined) return placeOf(electionOf(vr));
    return told.state === 'fault' ? 0 : told.priority;
  }

  #newViewer(): LogViewer {
    return new LogViewer(this.#config.node, (names) => this.#priorities(names));
  }
}

/** Whether an event may change what is to be said or agreed of a configuration; most change an ownership alone. */
const concernsNodes = (event: KoiEvent): boolean =>
  isConfiguration(event) || event.payload.type === 'nodeStarted' || event.payload.type === 'nodeStopped';

/** Why the log has no handover; undefined where it has, or may have. */
function whyNotStarted(answer: ClaimAnswer): string | undefined {
  switch (answer.kind) {
    case 'stored':
      return undefined;
    case 'conflict':
      return 'something newer stood in the log';
    case 'unavailable':
      return answer.maybeStored ? undefined : 'the log did not answer';
  }
}

/** Why what the log has may not have been read to its end. */
const logTrouble = ({ problem, state }: LogStatus): string =>
  problem ?? (state === 'connected' ? 'it is being read, or silent' : state);

const configurationReported = (told: VrStateMessage | undefined) =>
  told?.configuration === undefined ? {} : { configuration: told.configuration.running };

const haveSameConfiguration = (before: VrStateMessage | undefined, { configuration }: VrStateMessage): boolean =>
  before?.configuration?.running.digest === configuration?.running.digest &&
  before?.configuration?.prepared?.digest === configuration?.prepared?.digest;

/** Of what the node's entry in the log says, besides the configuration. */
const areAnnouncedAlike = (before: VrStateMessage | undefined, now: VrStateMessage): boolean =>
  before?.priority === now.priority &&
  before.lanAddress === now.lanAddress &&
  (before.state === 'fault') === (now.state === 'fault');

const newEventId = (): string => eventId(Date.now(), randomBytes(10));

const clock = (): { readonly wallMs: number; readonly monotonicMs: number } => ({
  wallMs: Date.now(),
  monotonicMs: Number(process.hrtime.bigint()) / 1e6,
});
