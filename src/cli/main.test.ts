import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Listening, serveControl } from '../observe/http.js';
import type { HttpSources, TimelineQuery } from '../observe/http-sources.js';
import type { Status, TimelineEntry } from '../observe/status.js';
import { commands } from './commands.js';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
  return spawn(process.execPath, ['--import', 'tsx', main, ...args], {
    cwd: root,
    env: { ...inherited, ...environment },
  });
}

async function koi(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const child = start(args, environment);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

let folder = '';
let daemon: Listening | undefined;
let status: Status;
/** A virtual router that the log has no event of. */
let nothingOf: string | undefined;
/** What the daemon says is missing in its timeline. */
let missing: string | undefined;

const sources: HttpSources = {
  metricsText: () => '',
  health: () => ({ ok: true, checks: [] }),
  ready: () => ({ ok: true, checks: [] }),
  status: () => status,
  timeline: async (query) => ({ entries: entriesOf(query), ...(missing === undefined ? {} : { notice: missing }) }),
  async *followTimeline(query) {
    yield* entriesOf(query);
  },
};

const entriesOf = ({ vr, limit }: TimelineQuery): TimelineEntry[] =>
  Array.from({ length: vr !== undefined && vr === nothingOf ? 0 : limit }, (_, index) => ({
    sequence: index + 1,
    at: '2026-01-31T12:00:00.000Z',
    node: 'r1',
    vr: vr ?? null,
    term: 1,
    type: 'Claimed',
    text: 'claims',
    cause: null,
  }));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'koi-cli-'));
  status = {
    node: 'r1',
    cluster: 'edge',
    version: '0.1.0',
    configFile: join(folder, 'none.yaml'),
    at: new Date().toISOString(),
    log: { connected: true, server: null, outbox: 0, lag: 0 },
    dataplane: { up: true },
    guard: { up: true },
    drained: null,
    vrs: [],
    elsewhere: [],
    episodes: [],
    nodes: [],
    warnings: [],
  };
  daemon = await serveControl({ path: join(folder, 'koi.sock'), sources, actions: {} });
});
afterAll(async () => {
  await daemon?.close();
  rmSync(folder, { recursive: true, force: true });
});

const good = `cluster: edge
node: r1
log: {servers: [nats://10.99.0.9:4222]}
virtualRouters: [{name: gw, interface: kt-absent, id: 51, addresses: [10.77.0.254/24]}]
`;

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

// Each command line is a process of its own: on a busy machine one takes a second and more.
describe('koi', { timeout: 120_000 }, () => {
  it('prints its version, and its help with every command and the exit codes', async () => {
    const [version, help] = await Promise.all([koi(['--version']), koi(['--help'])]);
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(version).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' });
    expect(help.code).toBe(0);
    for (const { name } of commands) expect(help.stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(help.stdout).toContain('Exit codes:');
  });

  it('exits 2 where the usage is wrong, with a suggestion and nothing on stdout', async () => {
    const wrong: [string[], string][] = [
      [[], 'Usage: koi'],
      [['chek'], "koi: unknown command 'chek'\n  → Did you mean check?\n"],
      [['check'], "koi: required option '-c, --config <file>' not specified\n  → koi check --help\n"],
      [['check', '-c'], "koi: option '-c, --config <file>' argument missing"],
      [['schema', '--jsn'], "koi: unknown option '--jsn'\n  → Did you mean --json?\n"],
      [['status', 'extra'], 'koi: too many arguments'],
      [['replay', '--att', '5m'], "koi: unknown option '--att'\n  → did you mean --at?\n"],
      [['check', '--colour'], "koi: unknown option '--colour'\n  → koi check --help\n"],
      [['audit', '--since', 'soon', '-c', write('log.yaml', good)], "koi: --since: 'soon' is not a time\n  → "],
      [['witness'], 'koi: it is not said where the server listens and keeps its streams\n  → use -c FILE, or --listen'],
      [['simulate', '--seed', 'x'], 'koi: --seed x: not a whole number\n  → write one from 0'],
      [['simulate', '--mode', 'x'], 'koi: --mode x: there is no such mode\n  → write wire, log, strict'],
      [
        ['status', '-c', write('open.yaml', 'cluster: [\n')],
        'does not say where the control socket is\n  → correct its YAML',
      ],
      [['timeline', '--since', 'soon'], "koi: --since: 'soon' is not a time\n  → "],
      [['check', '-c', join(folder, 'none')], 'there is no such file\n  → '],
    ];
    for (const [args, expected] of wrong) {
      const { code, stdout, stderr } = await koi(args);
      expect([args, code, stdout]).toEqual([args, 2, '']);
      expect(stderr).toContain(expected);
    }
  });

  it('shows the help of a command that lacks a subcommand, and nothing else', async () => {
    const { code, stdout, stderr } = await koi(['import']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('keepalived [options] <file>');
    expect(stderr).not.toContain('outputHelp');
  });

  it('shows each command with examples', async () => {
    for (const { name } of commands) {
      const { code, stdout } = await koi([name, '--help']);
      expect([name, code]).toEqual([name, 0]);
      expect(stdout).toContain('Example');
    }
  });

  it('keeps escape codes out of a pipe', async () => {
    const { stderr } = await koi(['chek']);
    expect(stderr).not.toContain('\u001b');
  });

  it('is quiet where its reader stops reading', async () => {
    const child = start(['timeline', '--socket', join(folder, 'koi.sock'), '--limit', '10000']);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdout?.once('data', () => child.stdout?.destroy());
    await once(child, 'close');
    expect([child.exitCode, stderr]).toEqual([0, '']);
  });
});

describe('koi check', () => {
  it('says ok, and warns on stderr', async () => {
    const { code, stdout, stderr } = await koi(['check', '-c', write('good.yaml', good)]);
    expect([code, stdout]).toEqual([0, `${join(folder, 'good.yaml')}: ok (cluster edge, node r1, 1 virtual router)\n`]);
    expect(stderr).toContain("there is no interface with the name 'kt-absent' now\n  → koi waits for it");
    expect(stderr).toContain('lanKeyFile: there is no key');
  });

  it('prints every error at once and exits 2', async () => {
    const file = write('bad.yaml', good.replace('id: 51', 'id: 0').replace('cluster: edge', 'clustr: edge'));
    const { code, stdout, stderr } = await koi(['check', '-c', file]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('has 3 errors');
    for (const path of ['clustr', 'cluster', 'virtualRouters[0].id']) expect(stderr).toContain(`: ${path}: `);
  });

  it('tells of files, programs and this machine in the same run as of wrong keys', async () => {
    const none = join(folder, 'none');
    const file = write(
      'bad3.yaml',
      `cluster: edge
unknown: 1
lanKeyFile: ${none}.key
log:
  user: koi
  passwordFile: ${none}.pass
  embedded: {listen: "127.0.0.1:4222", storeDir: ${none}.store, binary: ${none}.nats}
track: [{name: t, script: [${none}.script]}]
virtualRouters:
  - {name: gw, interface: kt-absent, id: 0, addresses: [10.77.0.254/24], hooks: {postMaster: [${none}.hook]}}
  - {name: other, interface: kt-other, id: 52, addresses: [10.77.0.253/24]}
  - {name: x, protocol: carp, interface: kt-absent, id: 53, addresses: [10.77.0.252/24], carp: {passwordFile: "none"}}
`,
    );
    const { code, stdout } = await koi(['check', '-c', file, '--json']);
    const said = JSON.parse(stdout) as Record<'errors' | 'warnings', { path: string; message: string }[]>;
    expect(code).toBe(2);
    expect(said.errors.map(({ path }) => path)).toEqual([
      'unknown',
      'lanKeyFile',
      'log.passwordFile',
      'log.embedded.binary',
      'track[0].script[0]',
      'virtualRouters[0].id',
      'virtualRouters[0].hooks.postMaster[0]',
      'virtualRouters[2].carp.passwordFile',
    ]);
    // Of a virtual router that is right in itself.
    expect(said.warnings.map(({ message }) => message)).toContain("there is no interface with the name 'kt-other' now");
    expect(JSON.stringify(said.warnings)).not.toContain('kt-absent');
  });

  it('prints the same as JSON', async () => {
    const file = write('bad2.yaml', good.replace('id: 51', 'id: 0'));
    const { code, stdout } = await koi(['check', '-c', file, '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, file, errors: [{ path: 'virtualRouters[0].id', line: 4 }] });
  });

  it('expands the environment', async () => {
    const file = write('env.yaml', good.replace('edge', `\${KOI_TEST_CLUSTER}`));
    expect((await koi(['check', '-c', file])).code).toBe(2);
    expect((await koi(['check', '-c', file], { KOI_TEST_CLUSTER: 'blue' })).stdout).toContain('cluster blue');
  });
});

describe('koi schema', () => {
  it('prints JSON Schema', async () => {
    const { code, stdout } = await koi(['schema']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ title: 'koi configuration', type: 'object' });
  });
});

describe('koi status and koi timeline', () => {
  it('ask the daemon whose socket or configuration is named', async () => {
    const socket = join(folder, 'koi.sock');
    expect((await koi(['status', '--socket', socket])).stdout).toContain('node r1 of edge');
    const file = write('socket.yaml', `control: ${socket}\nnonsense: true\n`);
    expect(JSON.parse((await koi(['status', '-c', file, '--json'])).stdout)).toEqual(status);
    const lines = (await koi(['timeline', '-c', file, '--vr', 'gw', '--limit', '3', '--json'])).stdout
      .trim()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line).sequence)).toEqual([1, 2, 3]);
  });

  it('exit 2 where there is no such virtual router, neither here nor in the log', async () => {
    nothingOf = 'nope';
    const socket = join(folder, 'koi.sock');
    const { code, stdout, stderr } = await koi(['timeline', '--socket', socket, '--vr', 'nope', '-f']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe("koi: there is no virtual router 'nope'\n  → this node has none\n");
    expect((await koi(['timeline', '--socket', socket, '--vr', 'gone', '--limit', '1'])).code).toBe(0);
  });

  it('say beside the events what may be missing', async () => {
    missing = 'the event log cannot be read now';
    const { code, stdout, stderr } = await koi([
      'timeline',
      '--socket',
      join(folder, 'koi.sock'),
      '--limit',
      '1',
      '--json',
    ]);
    missing = undefined;
    expect([code, stdout.split('\n').length, stderr]).toEqual([0, 2, 'warning: the event log cannot be read now\n']);
  });

  it('follow to the end', async () => {
    const { code, stdout } = await koi(['timeline', '--socket', join(folder, 'koi.sock'), '--limit', '2', '-f']);
    expect([code, stdout.split('\n').length]).toEqual([0, 3]);
  });

  it('exit 1 where the node is unhealthy', async () => {
    status = { ...status, guard: { up: false } };
    const { code, stdout } = await koi(['status', '--socket', join(folder, 'koi.sock')]);
    status = { ...status, guard: { up: true } };
    expect([code, stdout]).toEqual([1, expect.stringContaining('guard DOWN')]);
  });

  it('exit 4 where no daemon answers', async () => {
    for (const command of ['status', 'timeline']) {
      const { code, stdout, stderr } = await koi([command, '--socket', join(folder, 'none.sock')]);
      expect([code, stdout]).toEqual([4, '']);
      expect(stderr).toContain('  → is koi running?');
    }
  });

  it('pass on what the daemon refuses', async () => {
    const { code, stderr } = await koi(['timeline', '--socket', join(folder, 'koi.sock'), '--limit', '0']);
    expect([code, stderr]).toEqual([2, "koi: limit: '0' is not possible\n  → write a number from 1 to 10000\n"]);
  });
});

describe('koi audit', () => {
  it('ends where the server of the log says nothing, and names it', async () => {
    const server = createServer((socket) => void socket.on('error', () => undefined));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const file = write('silent.yaml', good.replace(/nats:\/\/[^\]]*/, `nats://127.0.0.1:${port}`));
    const { code, stdout, stderr } = await koi(['audit', '-c', file]);
    server.close();
    expect([code, stdout]).toEqual([4, '']);
    expect(stderr).toMatch(new RegExp(`^koi: the log cannot be reached: timeout \\(nats://127.0.0.1:${port}\\)\n  → `));
  });
});
