import { rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { observeFor } from '../lab/wait.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { type ConfigLines, Host, isRoot, type Running, router, vip } from './host.js';
import { leaveStaleSocket } from './stale-socket.js';

/** What a user can get wrong: one clear message with the field or the object, the remedy, and the contract's exit code. */
describe.skipIf(!isRoot)('bad input (needs root)', () => {
  let built: BuiltKoi;
  let host: Host;
  let before: ReturnType<Host['kernel']>;

  beforeAll(() => {
    built = buildKoi();
    host = new Host(built.main);
  }, 120_000);
  afterAll(() => {
    host?.remove();
    built?.remove();
  });
  beforeEach(async () => {
    host.configure();
    before = await host.settled();
  });
  afterEach(async () => {
    await host.endAll();
    expect([host.processes(), host.changesSince(before)]).toEqual([[], []]);
  });

  /** It ends with this code, having said exactly one thing, and what to do about it. */
  async function refuses(koi: Running, code: number, ...words: readonly string[]): Promise<void> {
    const { how } = await koi.end();
    expect(how, koi.output).toBe(code);
    for (const word of words) expect(koi.output).toContain(word);
    expect(koi.output.match(/^koi: /gm), koi.output).toHaveLength(1);
    expect(koi.output).toMatch(/→ \S/);
    expect(koi.output).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
    expect(koi.output).not.toContain('internal error');
  }

  const wrong: readonly [string, ConfigLines, readonly string[]][] = [
    ['an unknown key', { more: 'arbitraton: log' }, ['arbitraton', 'arbitration']],
    [
      'an unknown key deep inside',
      { virtualRouters: `[${router({ prioritty: '3' })}]` },
      ['virtualRouters[0].prioritty'],
    ],
    ['an id out of range', { virtualRouters: `[${router({ id: '256' })}]` }, ['virtualRouters[0].id', '255']],
    [
      'an id twice on one interface',
      { virtualRouters: `[${router()}, ${router({ name: 'b', addresses: '[10.77.0.9/24]' })}]` },
      ['virtualRouters[1].id', '51'],
    ],
    [
      'an address twice',
      { virtualRouters: `[${router()}, ${router({ name: 'b', id: '52' })}]` },
      ['virtualRouters[1].addresses[0]', vip],
    ],
    [
      "a virtual IP that is the interface's own",
      { virtualRouters: `[${router({ addresses: '[10.77.0.1/24]' })}]` },
      ['virtualRouters[0].addresses[0]', '10.77.0.1', 'eth1', 'ip addr del'],
    ],
  ];

  it.each(wrong)('%s', async (_, lines, words) => {
    host.configure(lines);
    await refuses(host.koi('run'), 2, host.configFile, ...words);
  });

  it('all that is wrong at once', async () => {
    const twice = `[${router({ id: '256' })}, ${router({ name: 'b', id: '52', colour: 'red' })}]`;
    host.configure({ more: 'arbitraton: log', virtualRouters: twice });
    await refuses(host.koi('run'), 2, '4 errors', 'arbitraton', '[0].id', '[1].colour', '[1].addresses[0]');
  });

  it('no configuration file', async () => {
    await refuses(host.koi('run', { configFile: host.file('none.yaml') }), 2, 'none.yaml');
  });

  it('files that the configuration names and that are not there, each with its line, before anything is started', async () => {
    host.configure({ more: `lanKeyFile: ${host.file('none.key')}` });
    const koi = host.koi('run');
    await refuses(koi, 2, `${host.configFile}:`, 'lanKeyFile: there is no file', 'none.key', 'create the file');
    expect(koi.output).not.toContain('"process":');
  });

  it('no privilege', async () => {
    const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all'];
    for (const command of ['run', 'dataplane', 'clean']) {
      await refuses(host.koi(command, { before: nobody }), 3, 'CAP_NET_ADMIN and CAP_NET_RAW', 'as root');
    }
  });

  it('an HTTP port in use', async () => {
    const other = host.spawn([
      process.execPath,
      '-e',
      "require('node:http').createServer().listen(9650, '127.0.0.1', () => console.log('listening'))",
    ]);
    await other.says('listening');
    await refuses(host.koi('run'), 2, 'http.listen: 127.0.0.1:9650 is in use');
    await refuses(host.koi('agent'), 2, 'http.listen: 127.0.0.1:9650 is in use');
    other.signal('SIGKILL');
    await other.end();
  });

  it('a control socket in use', async () => {
    const agent = host.koi('agent');
    await agent.says('"msg":"listening"');
    await refuses(host.koi('agent'), 2, 'control', host.socket);
    await refuses(host.koi('run'), 2, 'control', host.socket);
  });

  it("another file in the sockets' place", async () => {
    host.file('koi.sock', 'precious');
    await refuses(host.koi('agent'), 2, 'control socket', host.socket, 'is not a socket');
    expect(host.read('koi.sock')).toBe('precious');
    host.configure({ control: host.file('other.sock') });
    host.file('other.dataplane.sock', 'precious');
    await refuses(host.koi('dataplane'), 2, 'dataplane socket', 'is not a socket');
    rmSync(host.socket);
  });

  it('a state directory that cannot be, or that is damaged', async () => {
    host.configure({ stateDir: host.file('plain', '').concat('/state') });
    await refuses(host.koi('dataplane'), 2, 'stateDir');
    const state = host.makeDirectory('damaged');
    host.file('damaged/terms.json', '{"format":1,"te');
    host.configure({ stateDir: state });
    await refuses(host.koi('dataplane'), 2, 'terms.json is damaged');
  });

  it('a stale socket file is replaced', async () => {
    leaveStaleSocket(host.socket);
    leaveStaleSocket(host.file('koi.dataplane.sock'));
    host.koi('run');
    await host.becomesMaster('provisional');
  });

  it('a log that cannot be reached: it runs, and says so', async () => {
    const koi = host.koi('run');
    await koi.says('the event log cannot be reached');
    const status = await host.becomesMaster('provisional');
    expect(status.log.connected).toBe(false);
    const shown = host.koi('status');
    expect((await shown.end()).how).toBeLessThanOrEqual(1);
    expect(shown.output).toContain('connection refused');
    expect(koi.running).toBe(true);
  });

  it('an interface that is absent: it waits and says so; when the interface comes, it is master', async () => {
    host.configure({ virtualRouters: `[${router({ interface: 'lan9' })}]` });
    const koi = host.koi('run');
    await koi.says('waiting for the interface');
    const { vrs } = await host.until('the fault', ({ vrs: [vr] }) => (vr?.state === 'fault' ? undefined : vr?.state));
    expect(vrs[0]?.why).toBe('not master: its interface does not exist');
    const pids = [host.pid('koi agent'), host.pid('koi dataplane'), host.pid('koi-guard')];
    await observeFor(300);
    expect([host.pid('koi agent'), host.pid('koi dataplane'), host.pid('koi-guard')]).toEqual(pids);
    expect(koi.output.match(/waiting for the interface/g)).toHaveLength(1);

    host.addLan('lan9', '10.77.9.1/24');
    await host.becomesMaster('provisional');
    expect(host.ip('-br addr show dev lan9')).not.toContain(vip);
    expect(host.hasVip()).toBe(true);
    host.ip('link del lan9');
    await host.until('the fault again', ({ vrs: [vr] }) => (vr?.state === 'fault' ? undefined : vr?.state));
    expect(host.hasVip()).toBe(false);
  });
});
