import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { commandPages } from '../../packaging/deb/command-pages.js';
import { bashCompletion, fishCompletion, zshCompletion } from '../../packaging/deb/completion.js';
import { configurationKeys, configurationPage } from '../../packaging/deb/configuration-page.js';
import { controlFile, glibcFloor, sumsFile } from '../../packaging/deb/control.js';
import { elfArchitecture } from '../../packaging/deb/elf.js';
import { escapeRoff } from '../../packaging/deb/roff.js';
import { commands } from '../../src/cli/commands.js';
import { defineProgram } from '../../src/cli/program.js';
import { configJsonSchema } from '../../src/config/json-schema.js';
import { loadConfig } from '../../src/config/load.js';
import { loadWitness } from '../../src/config/load-witness.js';
import { unitUsers } from '../../src/config/unit-users.js';
import { blocksOf } from '../deb/document.js';

const here = fileURLToPath(new URL('../../packaging/deb/', import.meta.url));
const systemd = join(here, '../systemd');
const about = { version: '0.1.0', date: '2026-01-02' };
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

let program: Command;
let folder: string;
beforeAll(async () => {
  program = await defineProgram(commands, () => true);
  folder = mkdtempSync(join(tmpdir(), 'koi-deb-test-'));
}, 30_000);
afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

describe('manual pages', () => {
  it('are one for the program and one for each command, with every option in it', () => {
    const pages = commandPages(program, about);
    expect([...pages.keys()].sort()).toEqual(['koi.1', ...commands.map(({ name }) => `koi-${name}.1`)].sort());
    for (const command of program.commands.filter((each) => each.name() !== 'help')) {
      const page = pages.get(`koi-${command.name()}.1`) ?? '';
      for (const { long } of command.options)
        expect(page, command.name()).toContain(`\\fB${escapeRoff(long ?? '')}\\fR`);
      expect(page, command.name()).toMatch(/^\.SH EXIT STATUS\n\.TP\n\\fB0\\fR/m);
    }
    expect(pages.get('koi-drain.1')).toContain('.SH EXAMPLES\n.nf\nkoi drain');
  });

  it('show a line that begins with a dot, a quote or a backslash as it stands', () => {
    expect(escapeRoff(".SH x\n'y\n\\z a-b")).toBe("\\&.SH x\n\\&'y\n\\ez a\\-b");
  });

  it('of the configuration has every key of the schema', () => {
    const keys = configurationKeys(configJsonSchema()).map(({ path }) => path);
    for (const path of ['cluster', 'log.servers', 'virtualRouters[].preempt.delay', 'virtualRouters[].addresses']) {
      expect(keys).toContain(path);
    }
    expect(new Set(keys).size).toBe(keys.length);
    const page = configurationPage(configJsonSchema(), 'cluster: edge\n', about);
    for (const key of keys) expect(page).toContain(`\\fB${escapeRoff(key)}\\fR`);
  });

  it('of the configuration knows what is required, what it defaults to, and both forms of a key', () => {
    const schema = {
      type: 'object',
      required: ['a', 'b'],
      properties: {
        a: { description: 'the first' },
        b: { anyOf: [{ type: 'string' }, { $ref: '#/$defs/inner' }], description: 'either', default: 3 },
        list: { type: 'array', items: { $ref: '#/$defs/inner' } },
      },
      $defs: { inner: { type: 'object', properties: { deep: { description: 'inside' } } } },
    };
    expect(configurationKeys(schema)).toEqual([
      { path: 'a', about: 'the first', isRequired: true, fallback: undefined },
      { path: 'b', about: 'either', isRequired: false, fallback: '3' },
      { path: 'b.deep', about: 'inside', isRequired: false, fallback: undefined },
      { path: 'list', about: '', isRequired: false, fallback: undefined },
      { path: 'list[].deep', about: 'inside', isRequired: false, fallback: undefined },
    ]);
  });
});

describe('completion', () => {
  it('in bash offers commands, then the options of the one that was typed', () => {
    const file = join(folder, 'koi.bash');
    writeFileSync(file, bashCompletion(program));
    const complete = (...words: string[]): string[] => {
      const script = `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _koi 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const said = execFileSync('bash', ['-c', script, file, ...words], { encoding: 'utf8' });
      return said.split('\n').filter((line) => line !== '');
    };
    expect(complete('koi', 'dr')).toEqual(['drain']);
    expect(complete('koi', 'drain', '--un')).toEqual(['--until-restart']);
    expect(complete('koi', 'check', '-c', join(here, 'koi.y'))).toEqual([join(here, 'koi.yaml')]);
    expect(complete('koi', 'drain', '--timeout', '')).toEqual([]);
    expect(complete('koi', 'help', 'han')).toEqual(['handover']);
  });

  it.each([
    ['zsh', zshCompletion],
    ['fish', fishCompletion],
  ] as const)('for %s is understood by it', (shell, completion) => {
    const text = completion(program);
    for (const { name } of commands) expect(text).toContain(name);
    expect(text).toContain('until-restart');
    if (!has(shell)) return;
    const file = join(folder, `koi.${shell}`);
    writeFileSync(file, text);
    execFileSync(shell, ['-n', file]);
  });
});

it('what is compiled is told by its header, and for which architecture', () => {
  const header = (machine: number, bits = 2, order = 1): Uint8Array =>
    Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, bits, order, ...Array<number>(12).fill(0), machine & 255, machine >> 8]);
  expect([62, 183, 243, 0x103e].map((machine) => elfArchitecture(header(machine)))).toEqual([
    'amd64',
    'arm64',
    'other',
    'other',
  ]);
  expect([elfArchitecture(header(183, 1)), elfArchitecture(header(183, 2, 2))]).toEqual(['other', 'other']);
  expect(elfArchitecture(header(62).subarray(0, 19))).toBeUndefined();
  expect(elfArchitecture(new TextEncoder().encode('#!/bin/sh\nexec node koi'))).toBeUndefined();
  expect(elfArchitecture(readFileSync(process.execPath))).toBe(process.arch === 'arm64' ? 'arm64' : 'amd64');
});

describe('the control files', () => {
  it('depend on the newest symbol version that any program wants', () => {
    expect(glibcFloor('Name: GLIBC_2.2.5 Name: GLIBC_2.34 Name: GLIBC_2.9 Name: GLIBCXX_3.4.32')).toBe('2.34');
    expect(glibcFloor('Name: GLIBC_2.17')).toBe('2.28');
    const control = controlFile({ version: '1.2.3', architecture: 'arm64', glibc: '2.34', installedKiB: 7 });
    expect(control).toMatch(/^Package: koi\nVersion: 1\.2\.3\nArchitecture: arm64\n/);
    expect(control).toContain('libc6 (>= 2.34)');
    expect(control).toMatch(/[^\n]\n$/);
    expect(
      sumsFile([
        ['b', '2'],
        ['a', '1'],
      ]),
    ).toBe('1  a\n2  b\n');
  });

  it('are scripts that a shell understands', () => {
    for (const name of ['postinst', 'prerm', 'postrm', 'koi.sh']) execFileSync('sh', ['-n', join(here, name)]);
  });

  it('have every command look for the nats-server of the package before that of the distribution', () => {
    const script = readFileSync(join(here, 'koi.sh'), 'utf8').replace(/^exec .*$/m, 'echo "$PATH"');
    const said = execFileSync('sh', ['-c', script], { encoding: 'utf8', env: { PATH: '/usr/sbin:/usr/bin' } });
    expect(said).toMatch(/:\/usr\/lib\/koi\/bin:\/usr\/sbin:\/usr\/bin\n$/);
  });

  it('come with a configuration that Koi accepts', () => {
    expect(loadConfig(join(here, 'koi.yaml')).config.cluster).toBe('edge');
  });

  it('come with the example that the quick start shows, and what it makes of it is the other router', () => {
    const blocks = blocksOf(readFileSync(join(here, '../../docs/quick-start.md'), 'utf8'));
    const example = join(here, 'examples/router.yaml');
    const shown = blocks.filter(({ language }) => language === 'yaml').map(({ text }) => parse(text) as unknown);
    expect(shown).toEqual([parse(readFileSync(example, 'utf8'))]);
    const made = join(folder, 'r2.yaml');
    const [edit = ''] = blocks.map(({ text }) => text).filter((text) => text.startsWith('sed '));
    const command = edit.replace('/usr/share/doc/koi/examples/router.yaml', example).replace('/etc/koi/koi.yaml', made);
    execFileSync('sh', ['-ec', command]);
    expect(parse(readFileSync(made, 'utf8'))).toMatchObject({
      node: 'r2',
      log: {
        servers: ['nats://10.99.0.1:4222', 'nats://10.99.0.9:4222'],
        embedded: {
          listen: '10.99.0.2:4222',
          cluster: { listen: '10.99.0.2:6222', routes: ['nats://10.99.0.1:6222', 'nats://10.99.0.9:6222'] },
        },
      },
      virtualRouters: [{ priority: 100 }],
    });
  });

  it('come with examples that Koi accepts, once the secrets are there', () => {
    const [password, key] = [join(folder, 'nats.pass'), join(folder, 'lan.key')];
    writeFileSync(password, 'a password of some length\n', { mode: 0o640 });
    writeFileSync(key, `${'k'.repeat(44)}\n`, { mode: 0o640 });
    const written = (name: string): string => {
      const text = readFileSync(join(here, 'examples', name), 'utf8');
      const file = join(folder, name);
      writeFileSync(file, text.replaceAll('/etc/koi/nats.pass', password).replaceAll('/etc/koi/lan.key', key));
      return file;
    };
    expect(loadConfig(written('router.yaml')).config.log.embedded).toBeDefined();
    expect(loadWitness(written('witness.yaml')).config.node).toBe('witness');
  });
});

describe('the units', () => {
  const units = readdirSync(systemd).filter((name) => name.endsWith('.service'));
  const read = (name: string): string => readFileSync(join(systemd, name), 'utf8');

  it('start commands that there are', () => {
    for (const name of units) {
      const command = /^ExecStart=\/usr\/bin\/koi (\S+) -c \$\{KOI_CONFIG\}$/m.exec(read(name))?.[1];
      expect(commands.map((each) => each.name)).toContain(command);
    }
  });

  it('never end the guard, or a server that is to be taken over, with their process', () => {
    for (const name of ['koi-dataplane.service', 'koi-log-server.service', 'koi-witness.service']) {
      expect(read(name), name).toMatch(/^KillMode=process$/m);
    }
  });

  it('run as the users whose rights koi check tries, root without the right to files of others', () => {
    for (const [unit, { user, group, unprivilegedRoot }] of Object.entries(unitUsers)) {
      const text = read(`${unit}.service`);
      expect(text, unit).toMatch(new RegExp(`^User=${user}\\nGroup=${group}$`, 'm'));
      expect(text, unit).not.toMatch(/^CapabilityBoundingSet=.*CAP_DAC/m);
      expect(unprivilegedRoot, unit).toBe(user === 'root');
      for (const setting of ['ProtectHome=yes', 'PrivateTmp=yes']) expect(text.split('\n'), unit).toContain(setting);
      expect(text, unit).toMatch(
        /^Environment=.* KOI_CONFIG=\/etc\/koi\/koi\.yaml\n(#.*\n)*EnvironmentFile=-\/etc\/default\/koi$/m,
      );
    }
  });

  it.skipIf(!has('systemd-analyze'))('are understood by systemd, and confine what they start', () => {
    // Only /usr/bin/koi and the manual pages, which the package brings, may be missing here.
    const paths = [...units, 'koi.target'].map((name) => join(systemd, name));
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...paths], { encoding: 'utf8' });
    const complaints = stderr.split('\n').filter((line) => line.includes('koi') && !/is not executable/.test(line));
    expect(complaints).toEqual([]);
    const exposure = (name: string): number => {
      const args = ['security', '--offline=true', '--no-pager', join(systemd, name)];
      const { stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
      return Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1] ?? Number.NaN);
    };
    expect(exposure('koi-dataplane.service')).toBeLessThan(4);
    for (const name of ['koi-agent.service', 'koi-log-server.service', 'koi-witness.service']) {
      expect(exposure(name), name).toBeLessThan(2);
    }
  });

  it('have a place in the package, each', () => {
    const main = readFileSync(join(here, 'main.ts'), 'utf8');
    for (const name of readdirSync(systemd)) expect(main).toContain(`'${name}'`);
    expect(existsSync(join(here, 'copyright'))).toBe(true);
  });
});
