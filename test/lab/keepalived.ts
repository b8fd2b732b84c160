import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Daemon, MainProcess, processTable } from './daemon.js';
import { ipBatch, run } from './ip.js';
import { interfaceOf, type VirtualRouterSpec, virtualMacOf } from './setup.js';
import { tellsNothing } from './silent-daemon.js';
import type { Router } from './topology.js';

export interface KeepalivedOptions {
  readonly router: Router;
  readonly priority: number;
  readonly advertIntervalMs: number;
  readonly directory: string;
  readonly logFile: string;
  readonly virtualRouters: readonly VirtualRouterSpec[];
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
  const ofFirst = new RegExp(`\\(${options.virtualRouters[0]?.name}\\) Entering (\\w+) STATE`, 'g');
  let startedAt = 0;

  return {
    ...tellsNothing,
    router,
    start: () => {
      removeLeftovers(options);
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
      const states = [...readLog(options.logFile).slice(startedAt).matchAll(ofFirst)];
      const state = states.at(-1)?.[1] ?? 'no state';
      const wanted = owner ? 'MASTER' : 'BACKUP';
      return state === wanted ? undefined : `${router.name} is ${state}, not ${wanted}`;
    },
  };
}

/** keepalived leaves its virtual MAC interfaces behind when it is killed, and their addresses with them. */
function removeLeftovers({ router, virtualRouters }: KeepalivedOptions): void {
  const macs = new Set<string | undefined>(virtualRouters.map(virtualMacOf));
  const links = JSON.parse(run('ip', ['-n', router.netns, '-j', 'link'])) as { ifname: string; address?: string }[];
  const left = links.filter((link) => macs.has(link.address)).map((link) => `link del ${link.ifname}`);
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
  const instances = options.virtualRouters.map(
    ({ name, id, address, lan }) => `vrrp_instance ${name} {
  state BACKUP
  nopreempt
  interface ${interfaceOf({ lan })}
  use_vmac vrrp.${lan ?? 1}.${id}
  virtual_router_id ${id}
  priority ${options.priority}
  advert_int ${options.advertIntervalMs / 1000}
  virtual_ipaddress {
    ${address}/24
  }
}
`,
  );
  return `global_defs {
  vrrp_version 3
}
${instances.join('')}`;
}
