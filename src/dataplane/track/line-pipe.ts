import type { Readable, Writable } from 'node:stream';
import type { z } from 'zod';

/** A message is at most this long: the tracks of a whole configuration. */
const lineBytesMax = 1 << 20;
/** A peer that reads nothing is given up once this much waits for it. */
const unsentBytesMax = 4 << 20;
const newline = 0x0a;

export interface LinePipe<Outgoing> {
  /** False where the peer is gone or does not read. */
  send(message: Outgoing): boolean;
}

/**
 * JSON, one message a line, over the two pipes between the dataplane and its runner. What does not fit `schema`, and a
 * pipe that breaks or ends, ends it: `onEnd` runs once, with the cause.
 */
export function openLinePipe<Incoming, Outgoing>(options: {
  readonly input: Readable;
  readonly output: Writable;
  readonly schema: z.ZodType<Incoming>;
  readonly onMessage: (message: Incoming) => void;
  readonly onEnd: (cause: string) => void;
}): LinePipe<Outgoing> {
  const { input, output, schema } = options;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let isOpen = true;

  const end = (cause: string): void => {
    if (!isOpen) return;
    isOpen = false;
    options.onEnd(cause);
  };
  const takeLine = (line: string): void => {
    let parsed: unknown;
    try {
      parsed = JSON.parse(line);
    } catch {
      end('it sent a line that is not JSON');
      return;
    }
    const checked = schema.safeParse(parsed);
    if (checked.success) options.onMessage(checked.data);
    else end(`it sent a message of another form: ${checked.error.message}`);
  };

  input.on('data', (chunk: Buffer) => {
    let start = 0;
    for (let at = chunk.indexOf(newline); at >= 0 && isOpen; at = chunk.indexOf(newline, start)) {
      const line = Buffer.concat([...waiting, chunk.subarray(start, at)]).toString('utf8');
      waiting = [];
      waitingBytes = 0;
      start = at + 1;
      takeLine(line);
    }
    const rest = chunk.subarray(start);
    if (rest.length === 0) return;
    waiting.push(rest);
    waitingBytes += rest.length;
    if (waitingBytes > lineBytesMax) end(`it sent a line of over ${lineBytesMax} bytes`);
  });
  input.on('end', () => end('its pipe ended'));
  input.on('error', (error) => end(error.message));
  output.on('error', (error) => end(error.message));

  return {
    send(message) {
      if (!isOpen || output.destroyed) return false;
      output.write(`${JSON.stringify(message)}\n`);
      if (output.writableLength <= unsentBytesMax) return true;
      end('it does not read what it is sent');
      return false;
    },
  };
}
