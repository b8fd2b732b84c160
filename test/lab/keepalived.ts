import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Daemon, MainProcess, processTable } from './daemon.js';
import { ipBatch, run } from './ip.js';
import { type Router, vip, virtualMac, vrid } from './topology.js';

export interface KeepalivedOptions {
  readonly router: Router;
  readonly priority: number;
  readonly advertIntervalMs: number;
  readonly directory: string;
  readonly logFile: string;
}

/**
 * keepalived in a router's namespace, set up to do the same with its own means (VRRPv3, virtual MAC, no preemption): the
 * stand-in that shows whether the lab measures right, and what the failures cost there.
 */
export function keepalivedDaemon(options: KeepalivedOptions): Daemon {
  const { router } = options;
  const directory = join(options.directory, router.name);
  const configFile = join(directory, 'keepalived.conf');
  const main = new MainProcess(router.netns, options.logFile);
  mkdirSync(directory, { recursive: true });
  writeFileSync(configFile, configuration(options));

  const children = () => processTable(router.netns).filter((entry) => entry.parent === main.pid);
  let startedAt = 0;

  return {
    router,
    start: () => {
      removeLeftovers(router);
      startedAt = readLog(options.logFile).length;
      main.start('keepalived', [
        ...['--dont-fork', '--log-console', '--log-detail', '--vrrp', '-f', configFile],
        ...['-p', join(directory, 'main.pid'), '-r', join(directory, 'vrrp.pid')],
      ]);
    },
    get running() {
      return main.running;
    },
    stop: (deadlineMs) => main.stop(deadlineMs),
    pids: (role) => {
      if (role === 'main') return main.pid === undefined ? [] : [main.pid];
      return role === 'dataplane' ? children().map((entry) => entry.pid) : [];
    },
    allPids: () => [
      ...(main.pid === undefined ? [] : [main.pid]),
      ...processTable(router.netns).map((entry) => entry.pid),
    ],
    notReady: async ({ owner }) => {
      if (!main.running) return `keepalived on ${router.name} has ended: ${main.lastWords(3)}`;
      const states = [
        ...readLog(options.logFile)
          .slice(startedAt)
          .matchAll(/Entering (\w+) STATE/g),
      ];
      const state = states.at(-1)?.[1] ?? 'no state';
      const wanted = owner ? 'MASTER' : 'BACKUP';
      return state === wanted ? undefined : `${router.name} is ${state}, not ${wanted}`;
    },
    view: async () => undefined,
    command: async () => ({ code: 1, said: 'keepalived has no commands' }),
    metric: async () => 0,
    timeline: async () => undefined,
    printTimeline: () => undefined,
  };
}

/** keepalived leaves its virtual MAC interface behind when it is killed, and its address with it. */
function removeLeftovers(router: Router): void {
  const links = JSON.parse(run('ip', ['-n', router.netns, '-j', 'link'])) as { ifname: string; address?: string }[];
  const left = links.filter((link) => link.address === virtualMac).map((link) => `link del ${link.ifname}`);
  if (left.length > 0) ipBatch(router.netns, left);
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function configuration(options: KeepalivedOptions): string {
  return `global_defs {
  vrrp_version 3
}
vrrp_instance gw {
  state BACKUP
  nopreempt
  interface eth1
  use_vmac
  virtual_router_id ${vrid}
  priority ${options.priority}
  advert_int ${options.advertIntervalMs / 1000}
  virtual_ipaddress {
    ${vip}/24
  }
}
`;
}
