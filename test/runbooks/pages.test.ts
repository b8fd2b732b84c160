import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { linesOf, shellBlocks, typedOnDebian } from '../docs/blocks.js';
import { type Node, Site } from '../election/site.js';
import { natsServerBinary } from '../log/nats-server.js';

/*
 * What the runbooks, and the pages on operation, tell an operator to type is typed, on the master of a pair: with the file
 * where the package has it, and the control socket where it is by default. Each line has to do something: no program that is
 * not there, no option that is none, and an end that is a success, or the one that is stated here.
 */
const isRoot = process.getuid?.() === 0;
const pages = [
  ...readdirSync('docs/runbooks').map((name) => join('docs/runbooks', name)),
  ...['docs/operations.md', 'docs/log.md', 'docs/migration.md'],
].filter((name) => name.endsWith('.md'));

/** Programs that a machine for tests may lack. What is left out for want of them is printed. */
const optional: ReadonlySet<string> = new Set(['arping', 'nmcli', 'networkctl', 'journalctl', 'tcpdump']);
/** Ends that are no success, and right. */
const otherEnds: readonly (readonly [RegExp, readonly number[], RegExp])[] = [
  // The links are those of a dataplane that runs.
  [/^koi clean /, [2], /koi is running/],
  // Nobody has put a setting there, or the machine has no such directory.
  [/^grep -rE .*\/etc\/sysctl/, [0, 1, 2], /^/],
  // No journal, for want of systemd.
  [/^journalctl /, [0, 1], /^/],
  // A cgroup, or a kernel without the interface.
  [/^cat \/proc\/pressure/, [0, 1], /^/],
  // It finds something to warn of on a machine that is no router.
  [/^koi doctor/, [0, 1], /remedy|well|fine|ok/i],
];

interface Typed {
  readonly line: string;
  readonly exit: number;
  readonly said: string;
}

const endsOf = (line: string) => otherEnds.find(([pattern]) => pattern.test(line));

describe.skipIf(!isRoot || natsServerBinary === undefined)('what the pages say to type (needs root)', () => {
  let koi: BuiltKoi;
  let site: Site;
  let node: Node;
  const typed = new Set<string>();
  const leftOut = new Set<string>();

  beforeAll(async () => {
    koi = buildKoi();
    site = await Site.begin(2);
    node = await site.node(0, koi.main, { priority: 200 });
    const other = await site.node(1, koi.main, { priority: 100 });
    node.start();
    await node.isMaster('logged');
    other.start();
    await other.isBackup();
    await node.knows(other);
    prepareHost();
  }, 180_000);
  afterAll(async () => {
    if (leftOut.size > 0) process.stdout.write(`not typed for want of the program: ${[...leftOut].join('; ')}\n`);
    await site?.close();
    koi?.remove();
  }, 60_000);

  const host = (...path: string[]): string => join(site.directory, 'host', ...path);

  /** What the package puts on a router, and programs that would not end by themselves. */
  function prepareHost(): void {
    for (const directory of ['bin', 'etc/koi', 'etc/keepalived', 'upper', 'work']) {
      mkdirSync(host(directory), { recursive: true });
    }
    const program = (name: string, body: string): void => {
      writeFileSync(host('bin', name), `#!/bin/sh\n${body}\n`);
      chmodSync(host('bin', name), 0o755);
    };
    program('koi', `exec ${process.execPath} ${koi.main} "$@"`);
    program('tcpdump', 'timeout -s INT 0.5 /usr/bin/tcpdump -l "$@" || [ $? = 124 ]');
    program('top', 'exec /usr/bin/top -b -n 1 "$@"');
    writeFileSync(host('etc/koi/nats.pass'), 'a password\n');
    // The package makes them.
    for (const [name, line] of [
      ['passwd', 'koi:x:64999:64999::/nonexistent:/usr/sbin/nologin'],
      ['group', 'koi:x:64999:'],
    ] as const) {
      const others = readFileSync(join('/etc', name), 'utf8').replace(/^koi:.*\n/m, '');
      writeFileSync(host('etc', name), `${others}${line}\n`);
    }
    writeFileSync(
      host('etc/keepalived/keepalived.conf'),
      `vrrp_instance gw {\n  interface eth1\n  virtual_router_id 51\n  priority 200\n  virtual_ipaddress {\n    10.77.0.254/24\n  }\n}\n`,
    );
    writeFileSync(host('etc/koi/koi.yaml'), readFileSync(node.configFile));
  }

  /** In the router's network, or the switch's, with a view of its own of /etc, /run and /var/lib. */
  function type(lines: readonly string[], netns = node.router.netns): Typed[] {
    const mounts = [
      `mount -t overlay overlay -o lowerdir=${host('etc')}:/etc,upperdir=${host('upper')},workdir=${host('work')} /etc`,
      'mount -t tmpfs tmpfs /run',
      'mount -t tmpfs tmpfs /var/lib',
      'mkdir -p /run/koi /var/lib/koi',
      `ln -s ${node.socket} /run/koi/koi.sock`,
    ];
    const script = [
      'set -e',
      ...mounts,
      'set +e',
      `export PATH=${host('bin')}:$PATH`,
      `cd ${host()}`,
      ...lines.flatMap((line) => ['echo "==typed"', `{ ${line}\n} </dev/null 2>&1`, 'echo "==exit $?"']),
    ].join('\n');
    const command = ['netns', 'exec', netns, 'unshare', '-m', 'bash', '-c', script];
    const { stdout, stderr } = spawnSync('ip', command, { encoding: 'utf8', timeout: 120_000 });
    const parts = stdout.split('==typed\n').slice(1);
    expect(parts.length, `${stdout}\n${stderr}`).toBe(lines.length);
    return parts.map((part, index) => {
      const [, said = '', exit = 'none'] = /^([\s\S]*)==exit (\d+)\n$/.exec(part) ?? [];
      return { line: lines[index] ?? '', exit: Number(exit), said };
    });
  }

  const isThere = (line: string): boolean => {
    const lacks = line
      .split(/[|;&]+/)
      .map((part) => part.trim().split(' ')[0] ?? '')
      .filter((program) => optional.has(program))
      .filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
    if (lacks.length > 0) leftOut.add(line);
    return lacks.length === 0;
  };

  test.each(pages.map((page) => [basename(page), page]))('%s', { timeout: 180_000 }, async (_name, page) => {
    const all = shellBlocks(readFileSync(page, 'utf8')).flatMap(linesOf);
    const lines = all.filter((line) => !typedOnDebian.test(line) && !typed.has(line) && isThere(line));
    for (const line of lines) typed.add(line);
    const isOfDrained = page.endsWith('KoiNodeDrained.md');
    if (isOfDrained) type(['koi drain']);
    const onSwitch = lines.filter((line) => line.startsWith('bridge '));
    const onRouter = lines.filter((line) => !onSwitch.includes(line));
    const results = [...type(onRouter), ...(onSwitch.length === 0 ? [] : type(onSwitch, site.topology.switchNetns))];
    for (const { line, exit, said } of results) {
      const [, exits = [0], words = /^/] = endsOf(line) ?? [];
      expect(exits, `${line}\n${said}`).toContain(exit);
      expect(said, line).toMatch(words);
    }
    // It takes part again, whatever the page was about.
    if (lines.includes('koi drain') || isOfDrained) type(['koi undrain']);
  });
});
