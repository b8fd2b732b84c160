import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { AF_NETLINK, AF_PACKET, binding, metaFields, SOCK_RAW, type SocketHandle } from '../../src/kernel/binding.js';
import { errnoName } from '../../src/kernel/errno.js';

const kernel = binding();

function open(family: number): SocketHandle {
  const socket = kernel.open(family, SOCK_RAW, 0);
  if (typeof socket === 'number') throw new Error(errnoName(socket));
  return socket;
}

const name = (result: unknown) => (typeof result === 'number' && result < 0 ? errnoName(result) : result);

describe('the addon refuses', () => {
  test('other families than packet, netlink and local sockets', () => {
    for (const family of [2, 10, 40]) expect(name(kernel.open(family, SOCK_RAW, 0))).toBe('EAFNOSUPPORT');
    const netlink = open(AF_NETLINK);
    expect(name(kernel.bindPacket(netlink, 1, 0))).toBe('EAFNOSUPPORT');
    kernel.close(netlink);
  });

  test('what is not one of its sockets', () => {
    for (const stranger of [{}, [], 7, undefined, new Uint8Array(8)]) {
      expect(() => kernel.close(stranger as unknown as SocketHandle)).toThrow(TypeError);
    }
    expect(() => (kernel.open as (...few: number[]) => unknown)(AF_PACKET)).toThrow(TypeError);
  });

  test('batches that reach beyond their buffer or table', () => {
    const socket = open(AF_PACKET);
    const buffer = new Uint8Array(100);
    const send = (table: number[], first: number, count: number) =>
      name(kernel.sendMany(socket, buffer, Uint32Array.from(table), first, count));
    expect(send([90, 20, 0], 0, 1)).toBe('EINVAL');
    expect(send([0xffff_ffff, 2, 0], 0, 1)).toBe('EINVAL');
    expect(send([0, 60, 0], 0, 2)).toBe('EINVAL');
    expect(send([0, 60, 0], 0xffff_ffff, 2)).toBe('EINVAL');
    expect(() => kernel.sendMany(socket, buffer, new Float64Array(3) as unknown as Uint32Array, 0, 1)).toThrow(
      TypeError,
    );
    kernel.close(socket);
  });

  test('to receive without slots, or into slots that do not fit', () => {
    const socket = open(AF_PACKET);
    expect(name(kernel.receiveMany(socket))).toBe('EINVAL');
    const prepare = (bytes: number, fields: number, slot: number) =>
      name(kernel.prepareReceive(socket, new Uint8Array(bytes), new Int32Array(fields), slot));
    expect(prepare(100, metaFields, 0)).toBe('EINVAL');
    expect(prepare(100, metaFields, 101)).toBe('EINVAL');
    expect(prepare(100, metaFields, 50)).toBe('EINVAL');
    expect(prepare(100, metaFields * 2, 50)).toBe(0);
    kernel.close(socket);
  });

  test('to write into a buffer that was given away', () => {
    const socket = open(AF_PACKET);
    const buffer = new Uint8Array(4096);
    expect(kernel.prepareReceive(socket, buffer, new Int32Array(metaFields), 4096)).toBe(0);
    expect(name(kernel.receiveMany(socket))).toBe('EAGAIN');
    structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
    expect(name(kernel.receiveMany(socket))).toBe('EFAULT');
    kernel.close(socket);
  });

  test('everything on a closed socket, and closing twice does nothing', () => {
    const socket = open(AF_NETLINK);
    expect(kernel.pollStart(socket, () => undefined, true)).toBe(0);
    kernel.close(socket);
    kernel.close(socket);
    const bytes = new Uint8Array(16);
    expect(name(kernel.receiveMany(socket))).toBe('EBADF');
    expect(name(kernel.sendMany(socket, bytes, new Uint32Array(3), 0, 1))).toBe('EBADF');
    expect(name(kernel.pollStart(socket, () => undefined, true))).toBe('EBADF');
    expect(name(kernel.prepareReceive(socket, bytes, new Int32Array(metaFields), 16))).toBe('EBADF');
    expect(name(kernel.bindNetlink(socket, 0))).toBe('EBADF');
    expect(name(kernel.setOption(socket, 1, 8, 1))).toBe('EBADF');
    expect(name(kernel.getOption(socket, 1, 8, 4))).toBe('EBADF');
    kernel.pollStop(socket);
  });
});

const descriptors = () => readdirSync('/proc/self/fd').length;

test('opening and closing, polled or not, leaks no descriptor', async () => {
  const before = descriptors();
  for (let n = 0; n < 100; n++) {
    const socket = open(n % 2 === 0 ? AF_PACKET : AF_NETLINK);
    if (n % 3 === 0) kernel.pollStart(socket, () => undefined, false);
    kernel.close(socket);
  }
  // Packet sockets are closed in the thread pool, four at a time, some milliseconds each.
  const end = performance.now() + 5000;
  while (descriptors() > before && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  // One of before may have gone meanwhile.
  expect(descriptors()).toBeLessThanOrEqual(before);
});

test('closing a packet socket does not wait for the kernel', async () => {
  const socket = open(AF_PACKET);
  expect(kernel.bindPacket(socket, 1, 3)).toBe(0);
  const started = performance.now();
  kernel.close(socket);
  expect(performance.now() - started).toBeLessThan(3);
});

test('a thread that ends with sockets open, polls running and a request under way takes all with it', async () => {
  const addon = fileURLToPath(new URL('../../build/Release/koi_kernel.node', import.meta.url));
  const code = `
    const { parentPort } = require('node:worker_threads');
    const kernel = require(${JSON.stringify(addon)});
    for (let n = 0; n < 20; n++) {
      const socket = kernel.open(n % 2 ? 16 : 17, 3, 0);
      kernel.prepareReceive(socket, new Uint8Array(4096), new Int32Array(4), 4096);
      if (n % 4 < 2) kernel.pollStart(socket, () => undefined, true);
    }
    kernel.requestAsync(0, Uint8Array.of(16, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1, 100);
    parentPort.postMessage('ready');
  `;
  const run = async () => {
    const worker = new Worker(code, { eval: true });
    await once(worker, 'message');
    await worker.terminate();
  };
  // The first thread brings descriptors that Node keeps.
  await run();
  const before = descriptors();
  for (let n = 0; n < 5; n++) await run();
  expect(descriptors()).toBeLessThanOrEqual(before);
});

/** Runs TypeScript in a process of its own; what it prints, exit code included. */
async function elsewhere(code: string, user?: number): Promise<{ code: number | null; output: string }> {
  const identity = user === undefined ? {} : { uid: user, gid: user };
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    ...identity,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      output += text;
    });
  }
  const [exitCode] = await once(child, 'close', { signal: AbortSignal.timeout(10_000) });
  return { code: exitCode, output };
}

const source = (file: string) => JSON.stringify(fileURLToPath(new URL(`../../src/kernel/${file}`, import.meta.url)));

test('an exception in a listener is an uncaught exception, not lost', async () => {
  const { code, output } = await elsewhere(`
    import { KernelMonitor } from ${source('monitor.js')};
    import { Netlink } from ${source('netlink.js')};
    import { addAddress, removeAddress } from ${source('addresses.js')};
    const monitor = KernelMonitor.open();
    monitor.on(() => { throw new Error('thrown in a listener'); });
    monitor.start();
    process.on('uncaughtException', (error) => { console.log('uncaught: ' + error.message); process.exit(7); });
    const id = { ifindex: 1, address: '127.9.9.9', prefixLength: 32 };
    addAddress(Netlink.open(), { ...id, proto: 1 });
    removeAddress(Netlink.open(), id);
  `);
  expect(output).toContain('uncaught: thrown in a listener');
  expect(code).toBe(7);
});

test('without privileges: reading works, packet sockets and changes say what is missing', async () => {
  const { code, output } = await elsewhere(
    `
    import { KernelMonitor } from ${source('monitor.js')};
    import { Netlink } from ${source('netlink.js')};
    import { addAddress } from ${source('addresses.js')};
    import { PacketSocket } from ${source('packet.js')};
    import { installArpGuard } from ${source('nft-arp-net.js')};
    console.log('links', KernelMonitor.open().linkByName('lo').ifindex);
    console.log(JSON.stringify(addAddress(Netlink.open(), { ifindex: 1, address: '127.9.9.9', prefixLength: 32, proto: 1 })));
    console.log(JSON.stringify(installArpGuard('koi_unprivileged', [])));
    try { PacketSocket.open({ ifindex: 1, protocol: 3 }); }
    catch (error) { console.log(error.code, error.exitCode, error.message, '-', error.remedy); }
    process.exit(0);
  `,
    65534,
  );
  expect(output).toContain('links 1');
  expect(output).toContain('"errno":"EPERM"');
  expect(output).toContain('CAP_NET_ADMIN is missing');
  expect(output).toMatch(/privilege 3 packet socket on interface 1: not permitted \(EPERM\) - run as root/);
  expect(code).toBe(0);
});
