import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NotifyReceiver } from '../../test/daemon/notify-receiver.js';
import { notifySocket } from './notify-socket.js';

let directory: string;
let receiver: NotifyReceiver | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-notify-'));
});
afterEach(() => {
  receiver?.close();
  receiver = undefined;
  rmSync(directory, { recursive: true });
});

it('reaches a socket in the file system, and one that is abstract', async () => {
  for (const address of [join(directory, 'notify'), `@koi-notify-test-${process.pid}`]) {
    receiver = await NotifyReceiver.listen(address);
    const send = notifySocket(address);
    expect(send('READY=1')).toBeUndefined();
    expect(send('STATUS=master of gw – since 3 s')).toBeUndefined();
    await receiver.hears('STATUS=master of gw – since 3 s');
    expect(receiver.messages).toEqual(['READY=1', 'STATUS=master of gw – since 3 s']);
    receiver.close();
  }
});

it('says why where nobody is there, and for addresses that cannot be', () => {
  expect(notifySocket(join(directory, 'none'))('READY=1')).toBe('ENOENT');
  expect(notifySocket('@koi-notify-test-nobody')('READY=1')).toBe('ECONNREFUSED');
  expect(notifySocket('/')('READY=1')).toBe('EINVAL');
  expect(notifySocket(`/${'x'.repeat(200)}`)('READY=1')).toBe('ENAMETOOLONG');
});

it('never waits for a reader that has stopped reading', async () => {
  receiver = await NotifyReceiver.listen(join(directory, 'notify'));
  receiver.pause();
  const send = notifySocket(join(directory, 'notify'));
  const said = new Set(Array.from({ length: 5000 }, () => send('WATCHDOG=1')));
  expect([...said]).toEqual([undefined, 'EAGAIN']);
  receiver.resume();
});
