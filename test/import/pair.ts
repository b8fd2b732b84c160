import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MainProcess } from '../lab/daemon.js';
import type { Router } from '../lab/topology.js';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A program that keeps the virtual IPs of one router. */
export interface Keeper {
  readonly name: 'keepalived' | 'koi';
  start(): void;
  /** SIGTERM; its exit code. */
  stop(): Promise<number | string>;
  lastWords(): string;
}

/** The addresses of the three virtual routers, by the router that is meant to have them. */
export const addressesOf = {
  r1: ['10.77.0.254', '10.77.0.253', 'fe80::77:254', '2001:db8:77::254'],
  r2: ['10.77.0.250'],
};
export const intervalMs = 100;

/** One file for both routers, as templates make them: conditions, parameters, an include. */
export function writeKeepalivedFiles(directory: string): string {
  mkdirSync(join(directory, 'conf.d'), { recursive: true });
  const main = join(directory, 'keepalived.conf');
  writeFileSync(
    main,
    `! what both have
global_defs {
  vrrp_version 3
  vrrp_garp_master_refresh 60
}
@r1 $HIGH=200
@r1 $LOW=100
@r2 $HIGH=100
@r2 $LOW=200
$COMMON= \\
  interface eth1 \\
  use_vmac \\
  advert_int ${intervalMs / 1_000}

include conf.d/*.conf
`,
  );
  writeFileSync(
    join(directory, 'conf.d', '10-gateway.conf'),
    `vrrp_instance gw {
  $COMMON
  virtual_router_id 51
  priority $HIGH
  track_interface {
    eth0 weight -150
  }
  virtual_ipaddress {
    10.77.0.254/24
    10.77.0.253/24
  }
}
vrrp_instance gw6 {
  $COMMON
  virtual_router_id 51
  priority $HIGH
  track_interface {
    eth0 weight -150
  }
  virtual_ipaddress {
    fe80::77:254/64
    2001:db8:77::254/64
  }
}
`,
  );
  writeFileSync(
    join(directory, 'conf.d', '20-other.conf'),
    `vrrp_instance other {
  $COMMON
  virtual_router_id 52
  priority $LOW
  virtual_ipaddress {
    10.77.0.250/24
  }
}
`,
  );
  return main;
}

export function keepalivedKeeper(router: Router, configFile: string, directory: string): Keeper {
  const logFile = join(directory, `${router.name}-keepalived.log`);
  const pidFiles = [join(directory, `${router.name}-main.pid`), join(directory, `${router.name}-vrrp.pid`)] as const;
  const main = new MainProcess(router.netns, logFile);
  return {
    name: 'keepalived',
    start: () => {
      for (const file of pidFiles) rmSync(file, { force: true });
      const files = ['-f', configFile, '-p', pidFiles[0], '-r', pidFiles[1]];
      main.start('keepalived', ['--dont-fork', '--log-console', '--vrrp', '-i', router.name, ...files]);
    },
    stop: () => main.stop(10_000),
    lastWords: () => main.lastWords(20),
  };
}

/** `koi import` of that very file, and what is this machine's own put behind it: paths of its own. */
export function koiKeeper(router: Router, keepalivedFile: string, directory: string): Keeper {
  const configFile = join(directory, `${router.name}.yaml`);
  const imported = runKoi(
    'import',
    'keepalived',
    keepalivedFile,
    '-i',
    router.name,
    '--node',
    router.name,
    '-o',
    configFile,
  );
  if (imported.status !== 0) throw new Error(imported.stderr);
  const state = join(directory, `${router.name}-state`);
  mkdirSync(state);
  appendFileSync(configFile, `control: ${join(state, 'koi.sock')}\nstateDir: ${state}\n`);
  const checked = runKoi('check', '-c', configFile);
  if (checked.status !== 0) throw new Error(checked.stderr);
  const main = new MainProcess(router.netns, join(directory, `${router.name}-koi.log`));
  return {
    name: 'koi',
    start: () => main.start(process.execPath, [cli, 'run', '-c', configFile]),
    stop: () => main.stop(10_000),
    lastWords: () => main.lastWords(20),
  };
}

function runKoi(...args: string[]) {
  return spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
}
