import { readdirSync, readFileSync } from 'node:fs';
import type { Machine } from './machine.js';

export type Unit = 'koi-agent' | 'koi-dataplane' | 'koi-log-server' | 'koi-witness';

/** The main process of a running unit, as the machine counts processes. */
export const mainProcess = async (machine: Machine, unit: Unit): Promise<number> =>
  Number(await machine.do(`systemctl show -P MainPID ${unit}`));

/** What the kernel says of a thread's rights: `/proc/PID/task/TID/status`, proc_pid_status(5). */
export interface Rights {
  /** Effective, permitted, bounding and ambient capabilities, in hexadecimal. */
  readonly effective: string;
  readonly permitted: string;
  readonly bounding: string;
  readonly ambient: string;
  readonly noNewPrivileges: boolean;
  /** Whether system calls are filtered. */
  readonly isFiltered: boolean;
  readonly user: string;
}

/** The rights of every thread of a process; the same ones once. */
export function rightsOf(machine: Machine, pid: number): Rights[] {
  const tasks = machine.path(`proc/${pid}/task`);
  const seen = readdirSync(tasks).map((task) => {
    const status = readFileSync(`${tasks}/${task}/status`, 'utf8');
    const field = (name: string): string => new RegExp(`^${name}:\\t(\\S+)`, 'm').exec(status)?.[1] ?? '';
    const rights: Rights = {
      effective: field('CapEff').replace(/^0+(?=.)/, ''),
      permitted: field('CapPrm').replace(/^0+(?=.)/, ''),
      bounding: field('CapBnd').replace(/^0+(?=.)/, ''),
      ambient: field('CapAmb').replace(/^0+(?=.)/, ''),
      noNewPrivileges: field('NoNewPrivs') === '1',
      isFiltered: field('Seccomp') === '2',
      user: field('Uid'),
    };
    return JSON.stringify(rights);
  });
  return [...new Set(seen)].map((text) => JSON.parse(text) as Rights);
}

/** What systemd thinks of a unit's confinement: 0 is none of it exposed, 10 all. */
export async function exposureOf(machine: Machine, unit: Unit): Promise<number> {
  const said = await machine.do(`systemd-analyze security --no-pager ${unit}.service`);
  return Number(/exposure level for \S+: ([\d.]+)/.exec(said)?.[1] ?? Number.NaN);
}

/**
 * Runs test/deb/attempts as the unit would run its own program.
 *
 * @returns what it could do, by name
 */
export async function attemptAs(machine: Machine, unit: Unit, otherProcess: number): Promise<Record<string, boolean>> {
  const text = machine.read(`usr/lib/systemd/system/${unit}.service`);
  const own = /^(Exec|Watchdog|Restart|StartLimit|NotifyAccess|Type|StandardOutput|KillMode|PartOf|After)/;
  const confined = text.split('\n').filter((line) => !own.test(line));
  const service = confined.indexOf('[Service]') + 1;
  const output = '/run/attempts';
  confined.splice(
    service,
    0,
    ...['Type=oneshot', `ExecStart=/usr/local/bin/attempts ${otherProcess}`, `StandardOutput=truncate:${output}`],
  );
  machine.put('run/systemd/system/attempts.service', confined.join('\n'));
  await machine.do('systemctl daemon-reload; systemctl start attempts; rm /run/systemd/system/attempts.service');
  return parseAttempts(machine.read(output));
}

/** The same without any confinement, as root: what it cannot do then proves nothing. */
export const attemptFreely = async (machine: Machine, otherProcess: number): Promise<Record<string, boolean>> =>
  parseAttempts(await machine.do(`/usr/local/bin/attempts ${otherProcess}`));

const parseAttempts = (text: string): Record<string, boolean> =>
  Object.fromEntries([...text.matchAll(/^(.*) (yes|no)$/gm)].map(([, name = '', could]) => [name, could === 'yes']));
