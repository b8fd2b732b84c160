import { z } from 'zod';

/** What the keeper of the embedded nats-server tells the agent: at once when it connects, and at every change. */
export const logServerMessage = z.strictObject({
  type: z.literal('logServer'),
  state: z.enum(['starting', 'serving', 'silent', 'failing', 'down', 'stopped']),
  pid: z.int().nullable(),
  version: z.string().nullable(),
  restarts: z.int().nonnegative(),
  problem: z.string().nullable(),
});
export type LogServerMessage = z.output<typeof logServerMessage>;

/** The keeper's socket, beside the control socket: `/run/koi/koi.sock` → `/run/koi/koi.log-server.sock`. */
export const logServerSocketPath = (control: string): string =>
  control.endsWith('.sock') ? `${control.slice(0, -'.sock'.length)}.log-server.sock` : `${control}.log-server`;
