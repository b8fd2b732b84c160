import type { Socket } from 'node:net';
import type { z } from 'zod';
import { failpoints } from '../failpoint.js';
import { KoiError } from '../koi-error.js';
import { maxLineBytes } from './protocol.js';

/** A peer that reads nothing is given up once this much waits for it. */
const maxUnsentBytes = 8 << 20;
/** Two hundred virtual routers that ask at the same time do so in a write a millisecond, not in two hundred. */
const atOnceEveryMs = 1;
/** More than this does not wait for the rest of what is said at the same time: the peer can begin with it. */
const outgoingMost = 16 << 10;
const newline = 0x0a;

export interface LineChannel<Outgoing> {
  /** Sends one message; false where the peer is gone, or so slow that the connection was given up. */
  send(message: Outgoing): boolean;
  close(): void;
}

/** A line that has not been looked at. */
export interface UnreadLine<Incoming> {
  readonly octets: Buffer;
  /** Checks it; undefined where it does not fit, which ends the connection. */
  read(): Incoming | undefined;
}

/**
 * One JSON object a line over a stream socket. What is sent while one thing is dealt with goes out together when that is
 * done: two hundred virtual routers that say three things each would else cost as many system calls, and wake the peer as
 * often. What comes in is checked against `schema` before `onMessage` sees it; a
 * line that is too long, is not JSON or does not fit the schema ends the connection with a named cause. `onClose` runs
 * once, with the cause or with undefined for an orderly end. Lines that begin with `unread.start` are checked when
 * somebody reads them.
 */
export function openLineChannel<Incoming, Outgoing>(options: {
  readonly socket: Socket;
  readonly schema: z.ZodType<Incoming>;
  readonly onMessage: (message: Incoming) => void;
  readonly onClose: (cause: KoiError | undefined) => void;
  /** Whether somebody can do nothing before it is there: it goes out at once, with all that was said before. */
  readonly isAwaited?: (message: Outgoing) => boolean;
  readonly unread?: { readonly start: string; readonly onLine: (line: UnreadLine<Incoming>) => void };
}): LineChannel<Outgoing> {
  const { socket, schema, unread } = options;
  const unreadStart = Buffer.from(unread?.start ?? '');
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let outgoing = '';
  let wroteAtMs = Number.NEGATIVE_INFINITY;
  let isOpen = true;

  const finish = (cause: KoiError | undefined): void => {
    if (!isOpen) return;
    isOpen = false;
    socket.destroy();
    options.onClose(cause);
  };

  const flush = (): void => {
    const lines = outgoing;
    outgoing = '';
    if (!isOpen || socket.destroyed || lines === '') return;
    wroteAtMs = performance.now();
    socket.write(lines);
    if (socket.writableLength > maxUnsentBytes) {
      finish(new KoiError('protocol', 'the peer does not read what it is sent'));
    }
  };

  const readLine = (line: Buffer): Incoming | undefined => {
    let parsed: unknown;
    try {
      parsed = JSON.parse(line.toString('utf8'));
    } catch (error) {
      finish(new KoiError('protocol', 'the peer sent a line that is not JSON', { cause: error }));
      return undefined;
    }
    const checked = schema.safeParse(parsed);
    if (checked.success) return checked.data;
    finish(new KoiError('protocol', `the peer sent a message of another form: ${checked.error.message}`));
    return undefined;
  };

  const takeLine = (line: Buffer): void => {
    if (unread !== undefined && line.subarray(0, unreadStart.length).equals(unreadStart)) {
      // The chunk that it came in is not kept for it.
      const octets = Buffer.from(line);
      unread.onLine({ octets, read: () => readLine(octets) });
      return;
    }
    const message = readLine(line);
    if (message !== undefined) options.onMessage(message);
  };

  socket.on('data', (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0 && isOpen; end = chunk.indexOf(newline, start)) {
      const tail = chunk.subarray(start, end);
      const line = waiting.length === 0 ? tail : Buffer.concat([...waiting, tail]);
      waiting = [];
      waitingBytes = 0;
      start = end + 1;
      takeLine(line);
    }
    const rest = chunk.subarray(start);
    if (rest.length === 0 || !isOpen) return;
    waiting.push(rest);
    waitingBytes += rest.length;
    if (waitingBytes > maxLineBytes)
      finish(new KoiError('protocol', `the peer sent a line of over ${maxLineBytes} bytes`));
  });
  socket.on('error', (error) => finish(new KoiError('unreachable', `the connection broke: ${error.message}`)));
  socket.on('close', () => finish(undefined));
  socket.on('end', () => finish(undefined));

  return {
    send(message) {
      if (!isOpen || socket.destroyed) return false;
      if (outgoing === '') queueMicrotask(flush);
      outgoing += `${JSON.stringify(message)}\n`;
      const isUrgent = options.isAwaited?.(message) === true && performance.now() - wroteAtMs >= atOnceEveryMs;
      // Whoever is stopped at a failpoint has said what it said before.
      if (isUrgent || outgoing.length > outgoingMost || failpoints !== undefined) flush();
      return isOpen;
    },
    close() {
      if (!isOpen) return;
      flush();
      if (!isOpen) return;
      isOpen = false;
      socket.end();
      socket.unref();
    },
  };
}

/** The dataplane's socket, beside the control socket: `/run/koi/koi.sock` → `/run/koi/koi.dataplane.sock`. */
export const dataplaneSocketPath = (control: string): string =>
  control.endsWith('.sock') ? `${control.slice(0, -'.sock'.length)}.dataplane.sock` : `${control}.dataplane`;
