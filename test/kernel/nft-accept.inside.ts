import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { nftTableName } from '../../src/kernel/names.js';
import { refuseService } from '../../src/kernel/nft-accept.js';
import { type Cable, ip, layCable } from './cable.js';

const table = nftTableName('edge', 'accept');
const far = `kt${process.pid}f`;
const vip4 = '10.81.0.254';
const vip6 = '2001:db8:81::254';
const own4 = '10.81.0.1';
let cable: Cable;

beforeAll(async () => {
  ip(`netns add ${far}`);
  cable = await layCable();
  ip(`link set ${cable.farName} netns ${far}`);
  ip(`-n ${far} link set ${cable.farName} up`);
  for (const address of [`${own4}/24`, `${vip4}/32`, '2001:db8:81::1/64', `${vip6}/128`]) {
    ip(`addr add ${address} dev ${cable.nearName}${address.includes(':') ? ' nodad' : ''}`);
  }
  ip(`-n ${far} addr add 10.81.0.9/24 dev ${cable.farName}`);
  ip(`-n ${far} addr add 2001:db8:81::9/64 dev ${cable.farName} nodad`);
});
afterEach(() => {
  refuseService(table, []);
});
afterAll(() => {
  cable.remove();
  ip(`netns del ${far}`);
});

/** Whether a UDP datagram from the far end arrives here. */
async function takes(address: string): Promise<boolean> {
  const family = address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket({ type: family, ...(family === 'udp6' ? { ipv6Only: true } : {}) });
  socket.bind(9_000, address);
  await once(socket, 'listening');
  const heard = new Promise<boolean>((resolve) => socket.once('message', () => resolve(true)));
  const code = `
    const socket = require('node:dgram').createSocket('${family}');
    let left = 20;
    const send = () => socket.send('x', 9000, '${address}', () => (--left ? setTimeout(send, 10) : socket.close()));
    send();`;
  const sender = spawn('ip', ['netns', 'exec', far, process.execPath, '-e', code]);
  const done = once(sender, 'exit').then(() => false);
  const taken = await Promise.race([heard, done]);
  await done;
  socket.close();
  return taken;
}

const neighbour = (address: string) => {
  const json = spawnSync('ip', ['-n', far, '-j', 'neigh', 'show', 'to', address], { encoding: 'utf8' }).stdout;
  return (JSON.parse(json || '[]') as { lladdr?: string }[])[0]?.lladdr;
};
const forget = () => ip(`-n ${far} neigh flush dev ${cable.farName}`);

test('what is addressed to the VIP is dropped, what is addressed to the host is not; neighbours still resolve', async () => {
  expect(await takes(vip4)).toBe(true);
  expect(await takes(vip6)).toBe(true);
  expect(refuseService(table, [vip4, vip6])).toEqual({ ok: true });
  forget();
  expect(await takes(vip4)).toBe(false);
  expect(await takes(vip6)).toBe(false);
  expect(neighbour(vip4)).toMatch(/^[0-9a-f:]{17}$/);
  expect(neighbour(vip6)).toBe(neighbour(vip4));
  expect(await takes(own4)).toBe(true);
});

test('another list replaces the first; none at all leaves no table', async () => {
  refuseService(table, [vip4]);
  expect(refuseService(table, [vip6])).toEqual({ ok: true });
  expect(await takes(vip4)).toBe(true);
  expect(refuseService(table, [])).toEqual({ ok: true });
  expect(await takes(vip6)).toBe(true);
  const listed = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' });
  if (listed.error === undefined) expect(listed.stdout).not.toContain(table);
});
