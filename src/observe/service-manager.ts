/** What a daemon tells the service manager that started it: sd_notify(3). */
export interface ServiceManager {
  /** It does what it is there for: at the start, and after a reload. */
  ready(): void;
  /** One line for `systemctl status`; said only where it differs from the last one. */
  status(text: string): void;
  /** To be called from the loop that has to go round: without it the manager ends the process. */
  tick(): void;
  reloading(): void;
  stopping(): void;
}

/** What the environment says of the manager; sd_notify(3), sd_watchdog_enabled(3). */
export interface ServiceManagerAddress {
  /** A path, or an abstract address with '@' before it. */
  readonly socket: string;
  /** After so much silence it ends the process; undefined: never. */
  readonly watchdogMs: number | undefined;
}

type Environment = Record<string, string | undefined>;

const variables = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;

/**
 * Where this process is to report, or undefined where nobody asked. The variables are taken out of `environment`: what
 * this process starts must not speak in its name.
 */
export function takeServiceManager(environment: Environment, pid: number): ServiceManagerAddress | undefined {
  const [socket, microseconds, watched] = variables.map((name) => environment[name]);
  for (const name of variables) delete environment[name];
  if (socket === undefined || !/^[/@]./.test(socket)) return undefined;
  const isWatched = watched === undefined || watched === String(pid);
  const watchdogUs = isWatched && /^\d+$/.test(microseconds ?? '') ? Number(microseconds) : 0;
  return { socket, watchdogMs: watchdogUs > 0 ? watchdogUs / 1000 : undefined };
}

export interface ServiceManagerPort {
  /** Sends one message, without waiting; one that cannot be sent is lost. */
  readonly send: (message: string) => void;
  /** CLOCK_MONOTONIC in nanoseconds: the manager compares it with its own. */
  readonly monotonicNs: () => bigint;
}

/** Speaks to the service manager through `port`. */
export function serviceManager(watchdogMs: number | undefined, port: ServiceManagerPort): ServiceManager {
  // Half of the time that is given, as sd_watchdog_enabled(3) recommends.
  const everyNs = watchdogMs === undefined ? undefined : BigInt(Math.floor(watchdogMs * 500_000));
  let nextNs = 0n;
  let said = '';
  return {
    ready: () => port.send('READY=1'),
    stopping: () => port.send('STOPPING=1'),
    reloading: () => port.send(`RELOADING=1\nMONOTONIC_USEC=${port.monotonicNs() / 1000n}`),
    status(text) {
      // A message ends with its line, and a name that somebody chose must not begin another.
      const line = text.replaceAll(/[\r\n]+/g, ' ');
      if (line === said) return;
      said = line;
      port.send(`STATUS=${line}`);
    },
    tick() {
      if (everyNs === undefined) return;
      const nowNs = port.monotonicNs();
      if (nowNs < nextNs) return;
      nextNs = nowNs + everyNs;
      port.send('WATCHDOG=1');
    },
  };
}
