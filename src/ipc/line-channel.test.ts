import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { KoiError } from '../koi-error.js';
import { dataplaneSocketPath, type LineChannel, openLineChannel, type UnreadLine } from './line-channel.js';
import { maxLineBytes } from './protocol.js';

const schema = z.strictObject({ n: z.number(), text: z.string().optional() });
type Message = z.infer<typeof schema>;

let dir: string;
let server: Server;
/** The near end speaks raw bytes, the far one is the channel. */
let near: Socket;
let far: Socket;
let channel: LineChannel<Message>;
let heard: Message[];
let closes: (KoiError | undefined)[];
let onMessage: (message: Message) => void;
let unread: UnreadLine<Message>[];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'koi-lines-'));
  const path = join(dir, 's.sock');
  heard = [];
  closes = [];
  onMessage = (message) => heard.push(message);
  unread = [];
  server = createServer().listen(path);
  await once(server, 'listening');
  near = connect(path);
  [far] = (await once(server, 'connection')) as [Socket];
  channel = openLineChannel<Message, Message>({
    socket: far,
    schema,
    onMessage: (message) => onMessage(message),
    onClose: (cause) => closes.push(cause),
    isAwaited: ({ text }) => text === 'now',
    unread: { start: '{"text":', onLine: (line) => unread.push(line) },
  });
});
afterEach(() => {
  near.destroy();
  channel.close();
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

const closed = async (): Promise<KoiError | undefined> => {
  await vi.waitFor(() => expect(closes).toHaveLength(1));
  return closes[0];
};

describe('a line channel', () => {
  it('hands over each line once, in order, however the bytes are cut', async () => {
    const bytes = Buffer.from('{"n":1}\n{"n":2,"text":"äöü €"}\n{"n":3}\n');
    for (const byte of bytes) {
      near.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    near.write('{"n":4}\n{"n":5}\n{"n":');
    near.write('6}\n');
    await vi.waitFor(() => expect(heard.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5, 6]));
    expect(heard[1]?.text).toBe('äöü €');
    expect(closes).toEqual([]);
  });

  it('writes one line a message', async () => {
    let text = '';
    near.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    expect(channel.send({ n: 1, text: 'a\nb' })).toBe(true);
    expect(channel.send({ n: 2 })).toBe(true);
    await vi.waitFor(() => expect(text).toBe('{"n":1,"text":"a\\nb"}\n{"n":2}\n'));
  });

  it('writes once what is said together, and at once what is long', () => {
    const write = vi.spyOn(far, 'write');
    channel.send({ n: 1 });
    channel.send({ n: 2 });
    expect(write).not.toHaveBeenCalled();
    channel.send({ n: 3, text: 'x'.repeat(20_000) });
    expect(write).toHaveBeenCalledTimes(1);
  });

  it('writes at once what is waited for, behind what was said before', () => {
    const write = vi.spyOn(far, 'write');
    channel.send({ n: 1 });
    channel.send({ n: 2, text: 'now' });
    expect(write.mock.calls.map(([text]) => text)).toEqual(['{"n":1}\n{"n":2,"text":"now"}\n']);
  });

  it('writes what many wait for at most once a millisecond while that goes on, and the rest when it is over', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    const write = vi.spyOn(far, 'write');
    for (const n of [1, 2, 3]) channel.send({ n, text: 'now' });
    expect(write).toHaveBeenCalledTimes(1);
    now.mockReturnValue(1001);
    channel.send({ n: 4, text: 'now' });
    channel.send({ n: 5, text: 'now' });
    await Promise.resolve();
    now.mockRestore();
    const numbers = write.mock.calls.map(([text]) => String(text).match(/\d/g)?.join(' '));
    expect(numbers).toEqual(['1', '2 3 4', '5']);
  });

  it('says what it has said before it ends', async () => {
    let text = '';
    near.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    channel.send({ n: 1 });
    channel.close();
    await vi.waitFor(() => expect(text).toBe('{"n":1}\n'));
  });

  it.each([
    ['is not JSON', 'hello?\n', 'not JSON'],
    ['is empty', '\n', 'not JSON'],
    ['is of another form', '{"n":"1"}\n', 'another form'],
    ['has a key too many', '{"n":1,"m":2}\n', 'another form'],
    ['is binary', '\u0000\u0001\u0002\n', 'not JSON'],
  ])('ends with a named cause where a line %s, and takes nothing after it', async (_, line, cause) => {
    const end = once(near.resume(), 'close');
    near.write(`{"n":1}\n${line}{"n":2}\n`);
    expect(await closed()).toMatchObject({ code: 'protocol', message: expect.stringContaining(cause) as string });
    expect(heard).toEqual([{ n: 1 }]);
    await end;
  });

  it('takes a long line, and ends at one that has no end', async () => {
    near.write(`${JSON.stringify({ n: 1, text: 'x'.repeat(maxLineBytes - 100) })}\n`);
    await vi.waitFor(() => expect(heard).toHaveLength(1));
    near.on('error', () => undefined);
    near.write('x'.repeat(maxLineBytes + 1));
    expect(await closed()).toMatchObject({ code: 'protocol', message: expect.stringContaining('over') as string });
  });

  it('gives up a peer that does not read', async () => {
    near.pause();
    const message = { n: 1, text: 'x'.repeat(500_000) };
    let sent = 0;
    while (channel.send(message)) {
      sent += 1;
      if (sent > 100) throw new Error('nothing bounds what waits for the peer');
    }
    expect(await closed()).toMatchObject({ code: 'protocol', message: expect.stringContaining('not read') as string });
    expect(channel.send(message)).toBe(false);
  });

  it('ends without a cause where the peer ends, and drops half a line', async () => {
    near.end('{"n":1}\n{"n":2');
    expect(await closed()).toBeUndefined();
    expect(heard).toEqual([{ n: 1 }]);
    expect(channel.send({ n: 3 })).toBe(false);
  });

  it('delivers what it was sent last before its own end, and tells nobody of that', async () => {
    let text = '';
    near.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    channel.send({ n: 1 });
    channel.close();
    expect(channel.send({ n: 2 })).toBe(false);
    near.write('{"n":9}\n');
    await once(near, 'end');
    expect([text, heard, closes]).toEqual(['{"n":1}\n', [], []]);
  });

  it('leaves lines of one beginning unread until somebody reads them', async () => {
    near.write('{"text":"a","n":1}\n{"n":2}\n{"text":"b","n":3}\n{"text":"c"}\n');
    await vi.waitFor(() => expect(unread).toHaveLength(3));
    expect(heard).toEqual([{ n: 2 }]);
    const [, second, third] = unread;
    expect(second?.octets.toString()).toBe('{"text":"b","n":3}');
    expect(second?.read()).toEqual({ text: 'b', n: 3 });
    expect(closes).toEqual([]);
    expect(third?.read()).toBeUndefined();
    expect(closes).toMatchObject([{ code: 'protocol', message: expect.stringContaining('another form') as string }]);
    expect(second?.read()).toEqual({ text: 'b', n: 3 });
  });

  it('may be closed from within a message: the rest of the chunk is left', async () => {
    onMessage = (message) => {
      heard.push(message);
      channel.close();
    };
    near.write('{"n":1}\n{"n":2}\n{"n":');
    await once(near, 'end');
    expect([heard, closes]).toEqual([[{ n: 1 }], []]);
  });
});

describe('the dataplane socket', () => {
  it('stands beside the control socket', () => {
    expect(dataplaneSocketPath('/run/koi/koi.sock')).toBe('/run/koi/koi.dataplane.sock');
    expect(dataplaneSocketPath('/run/koi/control')).toBe('/run/koi/control.dataplane');
  });
});
