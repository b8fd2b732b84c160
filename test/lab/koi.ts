import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandResult, type Daemon, MainProcess, processTable, type Role } from './daemon.js';
import { koiMetric, koiStatus, koiTimeline } from './koi-api.js';
import { routeOf, routePort } from './log-server.js';
import { clusterName } from './overseer.js';
import { interfaceOf, type VirtualRouterSpec } from './setup.js';
import { natsPort, type Router } from './topology.js';

/** What runs Koi: a Node, and the `dist/` of a checkout, or a copy of it. */
export interface KoiProgram {
  readonly node: string;
  readonly dist: string;
}

/** Where and how Koi runs on one router. */
export interface KoiOptions {
  readonly router: Router;
  readonly priority: number;
  readonly advertIntervalMs: number;
  /** The NATS servers, and how many of them keep each event. */
  readonly logUrls: readonly string[];
  readonly replicas: number;
  /** The server that each router runs itself; its routes are the other routers' and the log's. */
  readonly embedded?: { readonly binary: string; readonly routes: readonly string[] } | undefined;
  readonly onLogLoss: string;
  readonly onPathSplit: string;
  readonly virtualRouters: readonly VirtualRouterSpec[];
  readonly guardTimeoutMs: number;
  readonly preempts: boolean;
  /** How adverts over IPv4 are summed; default `auto`, which sends each in both forms. */
  readonly checksum?: string | undefined;
  readonly program: KoiProgram;
  /** Holds configuration, socket and state; short, since socket paths are. */
  readonly directory: string;
  readonly logFile: string;
  /** Shared by all nodes: authenticates their datagrams. */
  readonly lanKeyFile: string;
}

export function writeLanKey(file: string): void {
  writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600 });
}

/** `koi run` in a router's namespace. */
export function koiDaemon(options: KoiOptions): Daemon {
  const { router } = options;
  const { node, dist } = options.program;
  const directory = join(options.directory, router.name);
  const socket = join(directory, 'koi.sock');
  const configFile = join(directory, 'koi.yaml');
  const cli = join(dist, 'cli/main.js');
  const main = new MainProcess(router.netns, options.logFile);
  mkdirSync(join(directory, 'state'), { recursive: true });
  writeFileSync(configFile, configuration(options, directory, socket));

  const table = () => processTable(router.netns);
  const inRole: Record<Role, (command: string) => boolean> = {
    main: (command) => /\bmain\.js run\b|\bkoi run\b/.test(command),
    dataplane: (command) => /\bkoi dataplane\b|\bmain\.js dataplane\b/.test(command),
    agent: (command) => /\bkoi agent\b|\bmain\.js agent\b/.test(command),
    guard: (command) => command.startsWith('koi-guard') || /\/koi-guard\b/.test(command),
  };
  const pids = (role: Role) =>
    role === 'main' && main.pid !== undefined
      ? [main.pid]
      : table()
          .filter((entry) => inRole[role](entry.command))
          .map((entry) => entry.pid);

  return {
    router,
    start: () => main.start(node, [cli, 'run', '-c', configFile]),
    get running() {
      return main.running;
    },
    stop: (deadlineMs) => main.stop(deadlineMs),
    pids,
    // The guard first: it is the one that would act on the others' death.
    allPids: () => [
      ...new Set([...pids('guard'), ...pids('main'), ...pids('dataplane'), ...table().map((entry) => entry.pid)]),
    ],
    notReady: async ({ owner, logRunning }) => {
      if (!main.running)
        return `koi run on ${router.name} has ended (${main.ended ?? 'never started'}): ${words(main)}`;
      try {
        const status = await koiStatus(socket);
        const [vr, ...others] = status.vrs;
        const wanted = owner ? 'master' : 'backup';
        if (!status.dataplane.up) return `${router.name}: its dataplane is not up`;
        if (!status.guard.up) return `${router.name}: its guard is not up`;
        if (vr?.state !== wanted) return `${router.name} is ${vr?.state ?? 'without a VR'}, not ${wanted}: ${vr?.why}`;
        const astray = others.find(({ state }) => state !== 'master' && state !== 'backup');
        if (astray !== undefined) return `${router.name}: ${astray.name} is ${astray.state}: ${astray.why}`;
        if (!logRunning) return undefined;
        if (!status.log.connected) return `${router.name} has no connection to the log`;
        return owner && vr.standing !== 'logged' ? `${router.name}: its ownership is not in the log` : undefined;
      } catch (error) {
        return `${router.name}: ${reasonOf(error)}`;
      }
    },
    view: async () => {
      try {
        const status = await koiStatus(socket);
        const vr = status.vrs[0];
        return {
          state: vr?.state ?? 'absent',
          term: vr?.term,
          logged: vr?.standing == null ? undefined : vr.standing === 'logged',
          logConnected: status.log.connected,
          episodes: status.episodes.map(({ kind }) => kind),
        };
      } catch {
        return undefined;
      }
    },
    command: (args) => command(node, [cli, ...args, '--socket', socket]),
    metric: (name) => koiMetric(socket, name).catch(() => 0),
    timeline: (since) => koiTimeline(socket, since),
    printTimeline: (since) => {
      const args = [cli, 'timeline', '--socket', socket, '--since', since.toISOString()];
      const said = spawnSync(node, args, { encoding: 'utf8', timeout: 10_000 });
      return said.status === 0 ? said.stdout : `koi timeline: ${said.stderr}`;
    },
  };
}

function command(program: string, args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    execFile(program, args, { encoding: 'utf8', timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, said: `${stdout}${stderr}`.trim() });
    });
  });
}

function words(main: MainProcess): string {
  return `its last words: ${main.lastWords(3)}`;
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ECONNREFUSED' ? 'nobody listens on its control socket' : message;
}

function configuration(options: KoiOptions, directory: string, socket: string): string {
  return `cluster: ${clusterName}
node: ${options.router.name}
log:
  servers: [${options.logUrls.join(', ')}]
  replicas: ${options.replicas}
${embedded(options, directory)}onLogLoss: ${options.onLogLoss}
onPathSplit: ${options.onPathSplit}
guard: {timeout: ${options.guardTimeoutMs}ms}
lanKeyFile: ${options.lanKeyFile}
http: {listen: "127.0.0.1:9650"}
control: ${socket}
stateDir: ${join(directory, 'state')}
virtualRouters:
${options.virtualRouters.map((each) => virtualRouter(options, each)).join('')}`;
}

function embedded({ embedded, router }: KoiOptions, directory: string): string {
  if (embedded === undefined) return '';
  const { managementAddress: address } = router;
  const routes = embedded.routes.filter((route) => route !== routeOf(address));
  return `  embedded:
    listen: "${address}:${natsPort}"
    storeDir: ${join(directory, 'nats')}
    binary: ${embedded.binary}
    cluster: {name: ${clusterName}, listen: "${address}:${routePort}", routes: [${routes.join(', ')}]}
`;
}

function virtualRouter(options: KoiOptions, spec: VirtualRouterSpec): string {
  const { name, id, address, arbitration } = spec;
  const checksum = options.checksum === undefined ? '' : `    checksum: ${options.checksum}\n`;
  return `  - name: ${name}
    protocol: vrrp3
    interface: ${interfaceOf(spec)}
    id: ${id}
    arbitration: ${arbitration}
    priority: ${options.priority}
    advertInterval: ${options.advertIntervalMs}ms
    preempt: {enabled: ${options.preempts}}
    addresses: [${address}/24]
${checksum}`;
}
