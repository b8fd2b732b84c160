import type { Command } from 'commander';
import { judgeWitness, loadWitness } from '../config/load-witness.js';
import { formatProblem } from '../config/problem.js';
import { runWithoutCapabilities } from '../kernel/privileges.js';
import { KoiError } from '../koi-error.js';
import { findNatsServer } from '../log/nats-server/binary.js';
import { NatsServerKeeper } from '../log/nats-server/keeper.js';
import { createLogger, logLevels, readLogLevel } from '../observe/logger.js';
import { askedToEnd, endWith } from './daemon.js';
import { tellOfServer } from './log-server.js';
import { natsServerSettings } from './nats-settings.js';
import { askedService, beginService, serverStatus } from './service.js';

interface WitnessOptions {
  readonly config?: string;
  readonly node?: string;
  readonly listen?: string;
  readonly cluster?: string;
  readonly clusterName: string;
  readonly routes?: string;
  readonly storeDir?: string;
  readonly stateDir?: string;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly nkey?: string;
  readonly logLevel?: string;
}

/** What a file would say; secrets are not among the options, since every user of the machine sees a command line. */
function documentOf(options: WitnessOptions): unknown {
  const { node, listen, cluster, clusterName: name, routes, storeDir, stateDir, user, passwordFile, nkey } = options;
  const others = routes?.split(',').map((route) => route.trim());
  return defined({
    node,
    stateDir,
    log: defined({
      user,
      passwordFile,
      nkey,
      embedded: defined({
        listen,
        storeDir,
        cluster: cluster === undefined ? undefined : defined({ name, listen: cluster, routes: others }),
      }),
    }),
  });
}

const defined = (given: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

export function define(command: Command): void {
  command
    .option('-c, --config <file>', 'a file with node, stateDir and log as in a node’s configuration')
    .option('--node <name>', 'its name among the servers (default: witness-HOSTNAME)')
    .option('--listen <address:port>', 'where clients connect: 0.0.0.0:4222')
    .option('--cluster <address:port>', 'where the other servers connect: 0.0.0.0:6222')
    .option('--cluster-name <name>', 'the same on every server', 'koi')
    .option('--routes <urls>', 'the other servers, with commas: nats://r1:6222,nats://r2:6222')
    .option('--store-dir <directory>', 'where it keeps its streams')
    .option('--state-dir <directory>', 'its configuration, log and process (default: /var/lib/koi)')
    .option('--user <name>', 'who may connect, as log.user of the nodes; with --password-file')
    .option('--password-file <file>', 'as log.passwordFile of the nodes')
    .option('--nkey <file>', 'as log.nkey of the nodes')
    .option('--log-level <level>', `one of ${logLevels.join(', ')} (default: KOI_LOG_LEVEL, else info)`)
    .addHelpText(
      'after',
      `
Runs and watches a nats-server on a third machine, in the foreground: a pair of routers with log.embedded and a witness
bear the loss of any one of the three. It holds no virtual IP and needs no privilege. SIGTERM stops it.

Examples:
  koi witness -c /etc/koi/witness.yaml
  koi witness --listen 0.0.0.0:4222 --cluster 0.0.0.0:6222 --routes nats://10.99.0.1:6222,nats://10.99.0.2:6222 \\
    --store-dir /var/lib/koi/nats --user koi --password-file /etc/koi/nats.pass

A whole file:
  node: witness
  stateDir: /var/lib/koi
  log:
    user: koi
    passwordFile: /etc/koi/nats.pass
    embedded:
      listen: 0.0.0.0:4222
      storeDir: /var/lib/koi/nats
      cluster: {listen: "0.0.0.0:6222", routes: ["nats://10.99.0.1:6222", "nats://10.99.0.2:6222"]}
`,
    )
    .action((options: WitnessOptions) =>
      endWith('witness', async () => {
        runWithoutCapabilities();
        process.title = 'koi witness';
        const source = options.config ?? 'the command line';
        refuseWithoutPlace(options);
        const { config, warnings } =
          options.config === undefined ? judgeWitness(documentOf(options), source) : loadWitness(options.config);
        const level = readLogLevel(options.logLevel);
        const log = createLogger({ process: 'witness', level, buffered: false }).child({ node: config.node });
        for (const warning of warnings) log.warn({ remedy: warning.remedy }, formatProblem(source, warning));
        const { embedded, authentication } = config;
        // Its only work: without a server there is nothing to wait for.
        await findNatsServer(embedded.binary);
        const service = await askedService();
        const asked = askedToEnd();
        const keeper = new NatsServerKeeper({
          settings: natsServerSettings(config.node, embedded, authentication),
          binary: embedded.binary,
          directory: config.stateDir,
          onStatus: (status) => {
            tellOfServer(log, status);
            service?.status(serverStatus(status));
          },
        });
        keeper.start();
        beginService(service);
        const reason = await asked;
        service?.stopping();
        log.info({ reason }, 'stopping');
        await keeper.stop();
        return 0;
      }),
    );
}

/** @throws KoiError `usage` where neither a file nor the options say where the server listens and keeps its streams */
function refuseWithoutPlace({ config, listen, storeDir }: WitnessOptions): void {
  if (config !== undefined) return;
  const unsaid = [
    ...(listen === undefined ? ['listens'] : []),
    ...(storeDir === undefined ? ['keeps its streams'] : []),
  ];
  if (unsaid.length === 0) return;
  throw new KoiError('usage', `it is not said where the server ${unsaid.join(' and ')}`, {
    remedy: 'use -c FILE, or --listen ADDRESS:PORT and --store-dir DIRECTORY; see koi witness --help',
  });
}
