import type { NatsServerStatus } from '../log/nats-server/keeper.js';
import { type ServiceManager, serviceManager, takeServiceManager } from '../observe/service-manager.js';

/** The service manager that started this process with Type=notify, or undefined: then nothing is loaded for it. */
export async function askedService(): Promise<ServiceManager | undefined> {
  const address = takeServiceManager(process.env, process.pid);
  if (address === undefined) return undefined;
  const { notifySocket } = await import('../kernel/notify-socket.js');
  const send = notifySocket(address.socket);
  return serviceManager(address.watchdogMs, {
    // Whoever does not listen learns nothing from being told so.
    send: (message) => void send(message),
    monotonicNs: () => process.hrtime.bigint(),
  });
}

const tickEveryMs = 500;

/** Ready from now on, and as long as this process's loop goes round. For a daemon without a loop of its own to ask. */
export function beginService(service: ServiceManager | undefined): void {
  if (service === undefined) return;
  service.ready();
  setInterval(() => service.tick(), tickEveryMs).unref();
}

/** How a nats-server is, in one line. */
export function serverStatus({ state, version, problem }: NatsServerStatus): string {
  const server = version === null ? 'nats-server' : `nats-server ${version}`;
  return problem === null ? `${server} ${state}` : `${server} ${state}: ${problem}`;
}
