import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KoiConfig } from './config.js';
import { parseConfig } from './load.js';
import { type AskServer, checkLogHost } from './log-host-checks.js';

let directory: string;
let squatter: Server;
let port: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'koi-host-checks-'));
  squatter = createServer();
  await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve));
  const address = squatter.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
});
afterEach(() => {
  squatter.close();
  rmSync(directory, { recursive: true, force: true });
});

const nobody: AskServer = () => Promise.resolve(undefined);

async function said(log: string, askServer = nobody): Promise<string[]> {
  const parsed = parseConfig(
    `cluster: edge\nnode: r1\nlog: ${log}\nvirtualRouters: [{name: gw, interface: eth1, id: 51, addresses: [10.77.0.254/24]}]\n`,
    { environment: {} },
  );
  if (!parsed.ok) throw new Error(parsed.errors.map(({ message }) => message).join());
  const config: KoiConfig = parsed.config;
  const { errors, warnings } = await checkLogHost(config, () => undefined, askServer);
  const each = (kind: string) => (problem: { path: string; message: string }) =>
    `${kind} ${problem.path}: ${problem.message}`;
  return [...errors.map(each('error')), ...warnings.map(each('warning'))];
}

describe('the log on this machine', () => {
  it('is fine where the store can be written and the addresses are free', async () => {
    squatter.close();
    expect(await said(`{embedded: {listen: "127.0.0.1:${port}", storeDir: ${directory}/a/b, maxStore: 1MiB}}`)).toEqual(
      [],
    );
  });

  it('says that a port is taken, but not by the server of this very node', async () => {
    const log = `{embedded: {listen: "127.0.0.1:${port}", storeDir: ${directory}}}`;
    const taken = `warning log.embedded.listen: another program listens on 127.0.0.1:${port}`;
    expect(await said(log)).toEqual([taken]);
    expect(await said(log, () => Promise.resolve({ name: 'r2' }))).toEqual([taken]);
    expect(await said(log, () => Promise.resolve({ name: 'r1' }))).toEqual([]);
  });

  it('says that an address is none of this machine, of clients and of servers', async () => {
    const cluster = 'cluster: {listen: "203.0.113.2:6222", routes: ["nats://a:6222", "nats://b:6222"]}';
    expect(await said(`{embedded: {listen: "203.0.113.1:4222", storeDir: ${directory}, ${cluster}}}`)).toEqual([
      'warning log.embedded.listen: 203.0.113.1 is no address of this machine now',
      'warning log.embedded.cluster.listen: 203.0.113.2 is no address of this machine now',
    ]);
  });

  it('refuses a store that is a file, and warns of one that may outgrow its disk', async () => {
    squatter.close();
    writeFileSync(join(directory, 'file'), '');
    const listen = `listen: "127.0.0.1:${port}"`;
    expect(await said(`{embedded: {${listen}, storeDir: ${directory}/file/store}}`)).toEqual([
      `error log.embedded.storeDir: ${directory}/file is not a directory`,
    ]);
    expect(await said(`{embedded: {${listen}, storeDir: ${directory}/store, maxStore: 900000GiB}}`)).toEqual([
      expect.stringMatching(/MiB free, and the log may grow to/),
    ]);
  });

  it('says of the servers of others what cannot be seen from here', async () => {
    expect(await said('{servers: ["nats://10.0.0.1:4222"]}')).toEqual([
      'warning log.servers: whether these servers write to disk before they confirm cannot be seen from here',
    ]);
  });
});
