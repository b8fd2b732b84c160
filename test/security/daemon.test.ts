import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nkeys } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Host, isRoot, type Running, router } from '../daemon/host.js';
import { processTable } from '../lab/daemon.js';
import { koiStatus } from '../lab/koi-api.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { Authority } from './authority.js';
import { hostileVips } from './hostile-vips.js';
import { permissionRecipe } from './recipe.js';

/*
 * One daemon, configured as carefully as it can be: a log with TLS, an nkey and the permissions of docs/log.md, signed
 * adverts, a key for its own datagrams. First its LAN turns hostile; then everything that it ever wrote is searched for
 * what it knows.
 */
const fuzzer = fileURLToPath(new URL('lan-fuzzer.ts', import.meta.url));
const perSecond = 4000;
/** Set by npm run fuzz:lan. */
const fuzzMs = Number(process.env.KOI_FUZZ_MS ?? 3000);
const seed = Number(process.env.KOI_FUZZ_SEED ?? 20_260_131);
const memoryGrowthMaxMiB = 96;
const { vrids, vhid, four, six } = hostileVips;
const marker = (name: string): string => `mark-${name}-${randomBytes(12).toString('hex')}`;

type Secrets = Readonly<Record<string, string>>;

/** Where a secret stands, as it is or encoded. */
function findings(secrets: Secrets, place: string, content: Buffer | string): string[] {
  const text = typeof content === 'string' ? content : content.toString('latin1');
  return Object.entries(secrets).flatMap(([name, secret]) => {
    const forms = [
      secret,
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('hex'),
    ];
    return forms.some((form) => text.includes(form)) ? [`${name} in ${place}`] : [];
  });
}

/** Everything below a directory but the files of the secrets themselves. */
function* files(secrets: Secrets, directory: string): Iterable<string> {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) yield* files(secrets, path);
    else if (stat?.isFile() === true && !(name in secrets)) yield path;
  }
}

function inProcesses(secrets: Secrets, netns: string): string[] {
  return processTable(netns).flatMap(({ pid, command }) => [
    ...findings(secrets, `the command line of ${command}`, readFileSync(`/proc/${pid}/cmdline`)),
    ...findings(secrets, `the environment of ${command}`, readFileSync(`/proc/${pid}/environ`)),
  ]);
}

describe.skipIf(!isRoot || natsServerBinary === undefined)('a daemon (needs root and nats-server)', () => {
  let built: BuiltKoi;
  let host: Host;
  let koi: Running;
  let log: Running;
  /** By the name of its file. */
  let secrets: Record<string, string>;

  beforeAll(async () => {
    built = buildKoi();
    host = new Host(built.main);
    host.ip('addr add fe80::1:1/64 dev eth1 nodad');
    const authority = new Authority(host.directory, 'ca');
    const { cert, key } = authority.issue('server', 'IP:127.0.0.1');
    const user = nkeys.createUser();
    secrets = {
      'nats.nkey': new TextDecoder().decode(user.getSeed()),
      'carp.pass': marker('carp'),
      'lan.key': marker('lan'),
      'hmac.key': marker('hmac').slice(0, 32),
      'vrrp2.pass': randomBytes(4).toString('hex'),
    };
    for (const [name, secret] of Object.entries(secrets)) chmodSync(host.file(name, secret), 0o640);
    for (const name of Object.keys(secrets)) execFileSync('chown', ['root:nogroup', join(host.directory, name)]);
    // Hooks run as nobody, and say what they were given.
    const environments = host.makeDirectory('environments');
    chmodSync(environments, 0o777);
    const hook = host.file('hook', `#!/bin/sh\ntr '\\0' '\\n' </proc/self/environ >${environments}/$$\n`);
    chmodSync(hook, 0o755);
    const settings = permissionRecipe({ R1: user.getPublicKey(), R2: nkeys.createUser().getPublicKey() });
    const natsFile = host.file('nats.conf', `tls { cert_file: "${cert}", key_file: "${key}" }\n${settings}`);
    const words = [natsServerBinary ?? '', '-a', '127.0.0.1', '-p', '4222', '-js', '-sd', join(host.directory, 'nats')];
    log = host.spawn([...words, '-c', natsFile]);
    await log.says('Server is ready');
    const at = (name: string): string => join(host.directory, name);
    host.configure({
      log: `{servers: ["tls://127.0.0.1:4222"], nkey: ${at('nats.nkey')}, tls: {ca: ${authority.ca}}}`,
      virtualRouters: `[${[
        // A machine that stands still for half a second is not what is looked for.
        router({
          advertInterval: '1s',
          authHmac: `{keyFile: ${at('hmac.key')}}`,
          hooks: `{postMaster: [${hook}]}`,
          track: '[watched]',
        }),
        router({
          name: 'six',
          id: String(vrids.six),
          addresses: `["${six[0]}/64", "${six[1]}/64"]`,
          advertInterval: '1s',
          authHmac: `{keyFile: ${at('hmac.key')}}`,
        }),
        router({
          name: 'single',
          id: String(vrids.single),
          addresses: `[${four[2]}/24]`,
          advertInterval: '1s',
          unicast: `{source: ${hostileVips.host}, peers: [${hostileVips.peer}]}`,
          authHmac: `{keyFile: ${at('hmac.key')}}`,
        }),
        `{name: carp, protocol: carp, interface: eth1, id: ${vhid}, addresses: [${four[1]}/24], carp: {passwordFile: ${at('carp.pass')}}}`,
        `{name: old, protocol: vrrp2, interface: eth1, id: ${vrids.old}, priority: 100, addresses: [${four[3]}/24], vrrp2: {auth: {type: pass, passwordFile: ${at('vrrp2.pass')}}}}`,
      ].join(', ')}]`,
      more: `guard: {timeout: 3s}\nlanKeyFile: ${at('lan.key')}\ntrack: [{name: watched, script: [${hook}], weight: -1}]`,
    });
    koi = host.koi('run', { before: ['env', 'KOI_LOG_LEVEL=trace'] });
    await host.until('this node to be master of all', ({ vrs }) =>
      vrs.length === 5 && vrs.every(({ state, standing }) => state === 'master' && standing === 'logged')
        ? undefined
        : JSON.stringify(vrs.map(({ name, state, why }) => [name, state, why])),
    );
  }, 90_000);
  afterAll(async () => {
    await host?.endAll().catch(() => undefined);
    host?.remove();
    built?.remove();
  }, 60_000);

  const memoryMiB = (pid: number): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;

  /** Lets the LAN be hostile for a while, in which what `lasts` names as missing must never be. */
  async function survive(lasts: () => string | undefined): Promise<{ readonly seen: number }> {
    const pids = { dataplane: host.pid('koi dataplane'), agent: host.pid('koi agent'), guard: host.pid('koi-guard') };
    const total = async (name: string, each: RegExp): Promise<number> => {
      const text = await get('/metrics');
      const lines = text.split('\n').filter((line) => line.startsWith(name) && each.test(line));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    const read = async () => ({
      accepted: await total('koi_adverts_received_total', /vr="(gw|carp|six|single)"/),
      rejected: await total('koi_adverts_rejected_total', /./),
      terms: (await koiStatus(host.socket)).vrs.map(({ name, state, term }) => [name, state, term]),
      dataplane: memoryMiB(pids.dataplane),
      agent: memoryMiB(pids.agent),
    });
    const before = await read();
    const hostMac = execFileSync('ip', ['netns', 'exec', host.netns, 'cat', '/sys/class/net/eth1/address'], {
      encoding: 'utf8',
    }).trim();
    const node = [process.execPath, '--import', 'tsx', fuzzer, 'eth1', String(perSecond), String(seed), hostMac];
    const child = spawn('ip', ['netns', 'exec', host.peer, ...node], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let report = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      report += text;
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    await waitUntil('the first frame', () => (report === '' ? 'it has not begun' : undefined), { deadlineMs: 20_000 });
    const endsMs = performance.now() + fuzzMs;
    while (performance.now() < endsMs) {
      const missing = lasts();
      if (missing !== undefined) throw new Error(`${missing}:\n${koi.output.slice(-8000)}`);
      await observeFor(100);
    }
    child.stdin.end();
    await ended;
    const { sent, ms, seen, wrong } = JSON.parse(report.replace('begun\n', '')) as {
      sent: number;
      ms: number;
      seen: number;
      wrong: string[];
    };
    await waitUntil(
      'the refusals to be counted',
      async () => ((await read()).rejected > before.rejected ? undefined : 'none'),
      { deadlineMs: 10_000 },
    );
    const after = await read();
    process.stdout.write(
      `seed ${seed}: ${sent} frames, ${Math.round((sent / ms) * 1000)} a second; ${after.rejected - before.rejected} ` +
        `adverts refused; memory of dataplane and agent ${(after.dataplane - before.dataplane).toFixed(1)} and ` +
        `${(after.agent - before.agent).toFixed(1)} MiB more; ${seen} words of virtual addresses on the wire, ${wrong.length} wrong\n`,
    );
    expect(wrong).toEqual([]);
    expect(sent).toBeGreaterThan(500);
    expect(after.accepted).toBe(before.accepted);
    expect(after.terms.filter(([name]) => name !== 'old')).toEqual(before.terms.filter(([name]) => name !== 'old'));
    expect(pids).toEqual({
      dataplane: host.pid('koi dataplane'),
      agent: host.pid('koi agent'),
      guard: host.pid('koi-guard'),
    });
    expect(after.dataplane - before.dataplane).toBeLessThan(memoryGrowthMaxMiB);
    expect(after.agent - before.agent).toBeLessThan(memoryGrowthMaxMiB);
    return { seen };
  }

  it('serves on under a hostile LAN, and believes none of it', { timeout: fuzzMs + 60_000 }, async () => {
    const missing = () =>
      [four[0], four[1], four[2], ...six].find((address) => !host.ip('-br addr').includes(`${address}/`));
    const { seen } = await survive(() => {
      const address = missing();
      return address === undefined ? undefined : `${address} is gone`;
    });
    // It was asked for them, too.
    expect(seen).toBeGreaterThan(0);
  });

  /** Over HTTP on the control socket, which answers what TCP answers. */
  const get = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: host.socket, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve(text)).on('error', reject);
      });
      asked.on('error', reject).end();
    });

  it('writes no secret anywhere: output, answers, files, log, command lines, environments', {
    timeout: 120_000,
  }, async () => {
    const found: string[] = [];
    for (const path of ['/', '/metrics', '/healthz', '/readyz', '/api/v1/status', '/api/v1/timeline', '/nothing']) {
      found.push(...findings(secrets, path, await get(path)));
    }
    for (const command of ['check', 'check --json', 'status --json', 'timeline --json', 'doctor --json', 'reload']) {
      const running = host.koi(command);
      await running.end();
      expect(running.output, command).not.toBe('');
      found.push(...findings(secrets, `koi ${command}`, running.output));
    }
    found.push(...inProcesses(secrets, host.netns));
    const seen = [...files(secrets, host.directory)];
    expect(seen.some((path) => path.includes('/nats/'))).toBe(true);
    expect(seen.some((path) => path.includes('/state/'))).toBe(true);
    expect(seen.some((path) => path.includes('/environments/'))).toBe(true);
    for (const path of seen) found.push(...findings(secrets, path, readFileSync(path)));
    koi.signal('SIGTERM');
    await koi.end();
    expect(koi.output).toContain('"level":"info"');
    expect(findings(secrets, 'a control', `before ${secrets['carp.pass']} after`)).toHaveLength(1);
    found.push(
      ...findings(secrets, 'what the daemon said', koi.output),
      ...findings(secrets, 'what nats-server said', log.output),
    );
    expect(found).toEqual([]);
    // The permissions of the document were enough for a whole daemon.
    expect(log.output).not.toMatch(/violation/i);
  });

  it('stays a backup under a hostile LAN, and says nothing of the addresses', {
    timeout: fuzzMs + 120_000,
  }, async () => {
    // Out of service, so that it is a backup of all without a master that would have to be told from the hostile ones.
    host.file('state/drained.json', JSON.stringify({ format: 1, since: new Date().toISOString() }));
    koi = host.koi('run', { before: ['env', 'KOI_LOG_LEVEL=trace'] });
    await host.until('this node to be a backup of all', ({ vrs }) =>
      vrs.length === 5 && vrs.every(({ state }) => state === 'backup')
        ? undefined
        : JSON.stringify(vrs.map(({ name, state, why }) => [name, state, why])),
    );
    const { seen } = await survive(() => {
      const served = [...four, ...six].find((address) => host.ip('-br addr').includes(`${address}/`));
      return served === undefined ? undefined : `${served} is served`;
    });
    expect(seen).toBe(0);
    koi.signal('SIGTERM');
    await koi.end();
  });

  it('names no secret in an error of the configuration', { timeout: 60_000 }, async () => {
    const secret = secrets['lan.key'] ?? '';
    const broken = [
      `{servers: ["nats://koi:${secret}@127.0.0.1"]}`,
      `{servers: ["nats://127.0.0.1"], user: koi, passwort: "${secret}"}`,
      `{servers: ["nats://127.0.0.1"], user: koi, password: ["${secret}"]}`,
      `{servers: ["nats://127.0.0.1"], token: {value: "${secret}"}}`,
      `{servers: ["nats://127.0.0.1"], user: koi, password: "${secret}", passwordFile: "${secret}"}`,
      `{servers: ["nats://127.0.0.1"], nkey: "${secret}"}`,
    ];
    for (const lines of broken) {
      host.configure({ log: lines });
      const running = host.koi('check');
      expect((await running.end()).how, lines).toBe(2);
      expect(running.output).not.toContain(secret);
    }
  });
});

/* The log's servers are Koi's own, with one password for all: theirs are files, processes and logs, too. */
describe.skipIf(!isRoot || natsServerBinary === undefined)('a daemon with log.embedded, and a witness', () => {
  let built: BuiltKoi;
  let host: Host;
  beforeAll(() => {
    built = buildKoi();
    host = new Host(built.main);
  }, 60_000);
  afterAll(async () => {
    await host?.endAll().catch(() => undefined);
    host?.remove();
    built?.remove();
  }, 60_000);

  it.each([1, 2])('write no secret anywhere, at start %i', { timeout: 120_000 }, async () => {
    const secret = 'kept for both starts: /+=';
    const path = host.file('nats.pass', `${secret}\n`);
    chmodSync(path, 0o640);
    execFileSync('chown', ['root:nogroup', path]);
    const secrets = { 'nats.pass': secret };
    const witness = host.spawn([
      ...['env', `PATH=${join(natsServerBinary ?? '', '..')}:${process.env.PATH}`, process.execPath, built.main],
      ...['witness', '--node', 'w', '--listen', '127.0.0.1:4322', '--cluster', '127.0.0.1:6322'],
      ...['--routes', 'nats://127.0.0.1:6222', '--store-dir', host.file('w-store'), '--state-dir', host.file('w')],
      ...['--user', 'koi', '--password-file', path],
    ]);
    const cluster = 'cluster: {listen: "127.0.0.1:6222", routes: ["nats://127.0.0.1:6322"]}';
    const embedded = `{listen: "127.0.0.1:4222", storeDir: ${host.file('nats')}, binary: ${natsServerBinary}, ${cluster}}`;
    const servers = '["nats://127.0.0.1:4322"]';
    host.configure({ log: `{servers: ${servers}, user: koi, passwordFile: ${path}, embedded: ${embedded}}` });
    const koi = host.koi('run', { before: ['env', 'KOI_LOG_LEVEL=trace'] });
    await host.becomesMaster('logged');

    const found = inProcesses(secrets, host.netns);
    // It opens every door of the log, so it may not lie on a disk either; nats-server has it in its environment.
    const derived = createHmac('sha256', secret).update('koi route').digest('hex');
    const onDisk = { ...secrets, 'the password of routes': derived };
    const seen = [...files(secrets, host.directory)];
    expect(seen.filter((file) => file.endsWith('/nats-server.conf'))).toHaveLength(2);
    expect(seen.filter((file) => file.endsWith('/nats-server.log'))).toHaveLength(2);
    for (const file of seen) found.push(...findings(onDisk, file, readFileSync(file)));
    expect(findings(onDisk, 'a control', `before ${derived} after`)).toHaveLength(1);
    for (const running of [koi, witness]) {
      running.signal('SIGTERM');
      await running.end();
      found.push(...findings(onDisk, 'what was said', running.output));
    }
    expect(found).toEqual([]);
  });
});
