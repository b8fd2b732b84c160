import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Daemon, MainProcess, processTable } from './daemon.js';
import { ipBatch, run } from './ip.js';
import type { VirtualRouterSpec } from './setup.js';
import { tellsNothing } from './silent-daemon.js';
import type { Router } from './topology.js';

export interface UcarpOptions {
  readonly router: Router;
  readonly priority: number;
  readonly advertIntervalMs: number;
  readonly directory: string;
  readonly logFile: string;
  readonly virtualRouters: readonly VirtualRouterSpec[];
}

/** ucarp counts in whole seconds, and one process has one address. */
export const ucarpRefuses = ({
  advertIntervalMs,
  virtualRouters,
}: Pick<UcarpOptions, 'advertIntervalMs'> & { readonly virtualRouters: number }): string | undefined => {
  if (advertIntervalMs % 1000 !== 0) return `its adverts are whole seconds apart, not ${advertIntervalMs} ms`;
  return virtualRouters === 1 ? undefined : `one process has one address, not ${virtualRouters}`;
};

/** ucarp in a router's namespace: CARP, no preemption, the address on the interface itself, as its manual has it. */
export function ucarpDaemon(options: UcarpOptions): Daemon {
  const { router, virtualRouters } = options;
  const refused = ucarpRefuses({ advertIntervalMs: options.advertIntervalMs, virtualRouters: virtualRouters.length });
  const [first] = virtualRouters;
  if (refused !== undefined || first === undefined) throw new Error(`ucarp: ${refused}`);
  const directory = join(options.directory, router.name);
  mkdirSync(directory, { recursive: true });
  const script = (name: string, verb: string): string => {
    const file = join(directory, name);
    writeFileSync(file, `#!/bin/sh\nip addr ${verb} ${first.address}/24 dev "$1"\nexit 0\n`, { mode: 0o755 });
    return file;
  };
  const [up, down] = [script('up', 'add'), script('down', 'del')];
  const main = new MainProcess(router.netns, options.logFile);
  let startedAt = 0;
  const pids = (): number[] => (main.pid === undefined ? [] : [main.pid]);

  return {
    ...tellsNothing,
    router,
    start: () => {
      removeLeftover(router, first.address);
      startedAt = readLog(options.logFile).length;
      main.start('ucarp', [
        ...['-i', 'eth1', '-s', router.lanAddress, '-v', String(first.id), '-p', 'lab', '-a', first.address],
        ...['-b', String(options.advertIntervalMs / 1000), '-k', String(255 - options.priority), '-z', '-D'],
        ...['-u', up, '-d', down],
      ]);
    },
    get running() {
      return main.running;
    },
    stop: (deadlineMs) => main.stop(deadlineMs),
    pids: (role) => (role === 'main' || role === 'dataplane' ? pids() : []),
    allPids: () => [...new Set([...pids(), ...processTable(router.netns).map(({ pid }) => pid)])],
    notReady: async ({ owner }) => {
      if (!main.running) return `ucarp on ${router.name} has ended: ${main.lastWords(3)}`;
      const states = [
        ...readLog(options.logFile)
          .slice(startedAt)
          .matchAll(/Switching to state: (\w+)/g),
      ];
      const state = states.at(-1)?.[1] ?? 'no state';
      const wanted = owner ? 'MASTER' : 'BACKUP';
      return state === wanted ? undefined : `${router.name} is ${state}, not ${wanted}`;
    },
  };
}

/** Killed, it leaves the address where it was. */
function removeLeftover({ netns }: Router, address: string): void {
  const held = JSON.parse(run('ip', ['-n', netns, '-j', 'addr', 'show', 'dev', 'eth1', 'to', address])) as {
    readonly addr_info?: readonly unknown[];
  }[];
  if (held.some(({ addr_info: found }) => (found?.length ?? 0) > 0)) {
    ipBatch(netns, [`addr del ${address}/24 dev eth1`]);
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
