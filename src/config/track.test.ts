import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkPrograms } from './file-checks.js';
import { parseConfig } from './load.js';

const router = (rest = '', name = 'gw', id = 51): string =>
  `  - {name: ${name}, interface: eth1, id: ${id}, addresses: [10.77.0.${id}/24]${rest}}`;

const parse = (lines: readonly string[], routers: readonly string[] = [router()]) =>
  parseConfig(
    [
      'cluster: edge',
      'node: r1',
      'lanKeyFile: /k',
      'log: {servers: [nats://n:4222]}',
      ...lines,
      'virtualRouters:',
      ...routers,
    ].join('\n'),
    { environment: {} },
  );

const tracksOf = (...tracks: string[]) => {
  const parsed = parse(['track:', ...tracks.map((track) => `  - ${track}`)]);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config.track;
};

const problemsOf = (lines: readonly string[], routers?: readonly string[]): string[] => {
  const parsed = parse(lines, routers);
  const list = parsed.ok ? parsed.warnings : parsed.errors;
  return list.map(({ path, message }) => `${path}: ${message}`);
};

describe('what can be tracked', () => {
  it('has its defaults, by what it is', () => {
    expect(
      tracksOf(
        '{name: a, interface: eth0}',
        '{name: b, script: [/bin/true, x], user: ops, weight: 0}',
        '{name: c, file: /run/health, weight: 2, reverse: true}',
        '{name: d, process: nginx, quorum: 2}',
        '{name: e, route: 0.0.0.0/0}',
        '{name: f, route: "2001:DB8::/32", table: 100, interval: 5s, fall: 3}',
      ),
    ).toEqual([
      { kind: 'interface', name: 'a', weight: -50, reverse: false, interface: { by: 'name', value: 'eth0' } },
      {
        kind: 'script',
        name: 'b',
        weight: 0,
        reverse: false,
        command: ['/bin/true', 'x'],
        user: 'ops',
        intervalMs: 2000,
        timeoutMs: 1000,
        fall: 2,
        rise: 2,
      },
      { kind: 'file', name: 'c', weight: 2, reverse: true, file: '/run/health', intervalMs: 1000 },
      {
        kind: 'process',
        name: 'd',
        weight: -50,
        reverse: false,
        process: 'nginx',
        quorum: 2,
        intervalMs: 1000,
        fall: 1,
        rise: 1,
      },
      {
        kind: 'route',
        name: 'e',
        weight: -50,
        reverse: false,
        destination: { family: 4, address: '0.0.0.0', prefixLength: 0 },
        table: 254,
        intervalMs: 1000,
        fall: 1,
        rise: 1,
      },
      {
        kind: 'route',
        name: 'f',
        weight: -50,
        reverse: false,
        destination: { family: 6, address: '2001:db8::', prefixLength: 32 },
        table: 100,
        intervalMs: 5000,
        fall: 3,
        rise: 1,
      },
    ]);
  });

  it.each([
    ['{name: t}', 'track[0]: says nothing about what to watch'],
    ['{name: t, file: /f, process: p}', 'track[0]: watches file and process at once'],
    ['{name: t, file: /f, fall: 2}', 'track[0].fall: fall does not belong to a track of a file'],
    [
      '{name: t, interface: eth0, interval: 1s}',
      'track[0].interval: interval does not belong to a track of a interface',
    ],
    ['{name: t, process: p, user: ops}', 'track[0].user: user does not belong to a track of a process'],
    ['{name: t, script: [check]}', "track[0].script[0]: 'check' is not an absolute path"],
    ['{name: t, route: 10.0.0.1/8}', "track[0].route: '10.0.0.1/8' is not a destination"],
    ['{name: t, route: 10.0.0.0}', "track[0].route: '10.0.0.0' is not a destination"],
    ['{name: t, file: f}', "track[0].file: 'f' is not an absolute path"],
  ])('%s is refused: %s', (track, problem) => {
    expect(problemsOf(['track:', `  - ${track}`])).toContain(problem);
  });
});

describe('a priority that tracks change, where nobody preempts', () => {
  const tracks = (weight: string) => ['track:', `  - {name: api, script: [/bin/true]${weight}}`];
  const off = 'preempt: {enabled: false}';
  const warning =
    'virtualRouters[0].preempt.enabled: with preempt off nobody takes over from a master whose priority api lowered';

  it.each([
    ['a negative weight', tracks(', weight: -100'), `, track: [api], ${off}`],
    ['a positive weight', tracks(', weight: 20'), `, track: [api], ${off}`],
    ['the weight that is not written', tracks(''), `, track: [api], protocol: vrrp2, ${off}`],
  ])('is warned about: %s', (_, lines, rest) => {
    expect(problemsOf(lines, [router(rest)])).toContain(warning);
  });

  it.each([
    ['a track without a weight, which is a fault', tracks(', weight: 0'), `, track: [api], ${off}`],
    ['a track that the virtual router does not watch', tracks(''), `, ${off}`],
    ['preemption', tracks(''), ', track: [api]'],
    ['CARP, whose masters say that they are demoted', tracks(''), `, track: [api], protocol: carp, ${off}`],
  ])('is not warned about: %s', (_, lines, rest) => {
    expect(problemsOf(lines, [router(rest)]).filter((problem) => problem.includes('preempt'))).toEqual([]);
  });
});

describe('sync groups, start delay and hooks', () => {
  it('are read', () => {
    const parsed = parse(
      ['startDelay: 30s'],
      [
        router(', syncGroup: g'),
        router(', syncGroup: g, startDelay: 1s, hooks: {preAttach: [/bin/true], timeout: 1s}', 'b', 52),
      ],
    );
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
    expect(parsed.warnings).toEqual([]);
    expect(parsed.config.virtualRouters).toMatchObject([
      { syncGroup: 'g', startDelayMs: 30_000, hooks: undefined },
      {
        startDelayMs: 1000,
        hooks: { preAttach: ['/bin/true'], timeoutMs: 1000, user: undefined, onFailure: 'continue' },
      },
    ]);
  });

  it.each([
    [[router(', syncGroup: g')], "virtualRouters[0].syncGroup: it is alone in the group 'g'"],
    [
      [router(', syncGroup: g'), router(', syncGroup: g, arbitration: wire', 'b', 52)],
      "virtualRouters[1].arbitration: the members of the group 'g' differ in arbitration",
    ],
    [
      [router(', hooks: {postMaster: [notify]}')],
      "virtualRouters[0].hooks.postMaster[0]: 'notify' is not an absolute path",
    ],
    [[router(', hooks: {preAttach: [/bin/true]}')], expect.stringContaining('nothing is advertised meanwhile')],
  ])('%j: %s', (routers, problem) => {
    expect(problemsOf([], routers)).toContainEqual(problem);
  });
});

describe('the programs that a configuration names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'koi-programs-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const program = (name: string, mode: number): string => {
    const file = join(folder, name);
    writeFileSync(file, '#!/bin/sh\n');
    chmodSync(file, mode);
    return file;
  };

  it('must be there and executable, and nobody else’s to change', () => {
    const parsed = parse(
      ['track:', `  - {name: t, script: [${program('plain', 0o644)}]}`],
      [router(`, hooks: {postMaster: [${folder}/none], postRelease: [${program('open', 0o757)}]}`)],
    );
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
    const { errors, warnings } = checkPrograms(parsed.document);
    expect(errors.map(({ path }) => path)).toEqual(['track[0].script[0]', 'virtualRouters[0].hooks.postMaster[0]']);
    expect(warnings.map(({ path }) => path)).toEqual(['virtualRouters[0].hooks.postRelease[0]']);
  });
});
