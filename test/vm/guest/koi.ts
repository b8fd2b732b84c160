import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { parent, vip } from './site.js';

const cli = '/koi/src/cli/main.js';

export interface KoiPlace {
  readonly node: string;
  readonly interface: string;
  readonly priority: number;
  /** Network namespace; undefined for the machine's own. */
  readonly netns?: string;
}

export const onTheBond: KoiPlace = { node: 'r1', interface: parent, priority: 200 };

/**
 * `koi dataplane`, by the protocol's own rules: where the LAN decides it needs no agent, and each process takes the emulated
 * machine half a minute to start.
 */
export class Koi {
  readonly #place: KoiPlace;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  constructor(place: KoiPlace) {
    this.#place = place;
    this.#directory = `/run/koi/${place.node}`;
    mkdirSync(`${this.#directory}/state`, { recursive: true });
    writeFileSync(`${this.#directory}/koi.yaml`, this.#configuration());
  }

  start(): void {
    const log = openSync(this.logFile, 'a');
    const run = [process.execPath, cli, 'dataplane', '-c', `${this.#directory}/koi.yaml`];
    const argv = this.#place.netns === undefined ? run : ['ip', 'netns', 'exec', this.#place.netns, ...run];
    const [program = '', ...rest] = argv;
    this.#child = spawn(program, rest, { stdio: ['ignore', log, log] });
  }

  get logFile(): string {
    return `${this.#directory}/log`;
  }

  /** Why its virtual router went from one state to another, the last ones. */
  lastReasons(count: number): string {
    const reasons = [...readFileSync(this.logFile, 'utf8').matchAll(/"from":"(\w+)","to":"(\w+)","reason":"(\w+)"/g)];
    return reasons
      .slice(-count)
      .map(([, from, to, reason]) => `${from}→${to} ${reason}`)
      .join(', ');
  }

  lastWords(): string {
    return readFileSync(this.logFile, 'utf8').split('\n').slice(-15).join('\n');
  }

  /** SIGTERM; resolves with what was wrong with its end. */
  stop(deadlineMs: number): Promise<string | undefined> {
    const child = this.#child;
    if (child === undefined) return Promise.resolve(undefined);
    this.#child = undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        resolve(`koi did not end within ${deadlineMs / 1000} s of SIGTERM`);
      }, deadlineMs);
      child.on('exit', (code, signal) => {
        clearTimeout(timer);
        resolve(code === 0 ? undefined : `koi ended with ${signal ?? code}:\n${this.lastWords()}`);
      });
      child.kill('SIGTERM');
    });
  }

  #configuration(): string {
    const { node, priority } = this.#place;
    return `
cluster: vm
node: ${node}
log: {servers: ["nats://127.0.0.1:4222"]}
arbitration: wire
http: {listen: "127.0.0.1:${node === 'r1' ? 9650 : 9651}"}
guard: {timeout: 5s}
control: ${this.#directory}/koi.sock
stateDir: ${this.#directory}/state
virtualRouters:
  - {name: gw, protocol: vrrp3, interface: ${this.#place.interface}, id: 51, priority: ${priority}, advertInterval: 1s, addresses: [${vip}/24]}
`;
  }
}
