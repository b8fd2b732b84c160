import { dirname, resolve } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseConfig } from '../config/load.js';
import { globalReaders } from './globals.js';
import { importKeepalived, type KeepalivedImport } from './import-keepalived.js';
import { instanceReaders } from './instance.js';
import type { Directive } from './keepalived-parser.js';
import { groupReaders } from './sync-groups.js';
import { fileReaders, processReaders, scriptReaders } from './track-definitions.js';

/* Whatever the file says: nothing of it is lost, and what is written passes koi check. */

const secret = 'hush-hush';

function importText(text: string): KeepalivedImport {
  return importKeepalived('/k/k.conf', {
    files: {
      read: (path) => (/\/(k|x)\.conf$/.test(path) ? text : { message: 'is not there', remedy: 'create it' }),
      glob: (pattern) => [pattern.replaceAll('*', 'x')],
      resolve: (from, path) => resolve(dirname(from), path),
    },
    findProgram: (name) => (name === 'killall' ? '/usr/bin/killall' : undefined),
    configId: 'r1',
    node: 'r1',
  });
}

function lost(
  directives: readonly Directive[],
  carried: ReadonlySet<Directive>,
  listed: ReadonlySet<Directive>,
): string[] {
  return directives.flatMap((directive) => {
    const inside = (): string[] => lost(directive.block ?? [], carried, listed);
    if (carried.has(directive)) return inside();
    return listed.has(directive) ? [] : [directive.name, ...inside()];
  });
}

function judge(text: string): void {
  const result = importText(text);
  if (!result.ok) {
    expect(result.problems.length).toBeGreaterThan(0);
    for (const { place, message, remedy } of result.problems) {
      expect([place.line > 0, message !== '', remedy !== '']).toEqual([true, true, true]);
    }
    return;
  }
  const { directives, imported, config } = result;
  expect(lost(directives, imported.carried, imported.listed)).toEqual([]);
  for (const { reason, remedy } of imported.leftOut) expect([reason === '', remedy === '']).toEqual([false, false]);
  expect(JSON.stringify(imported.leftOut) + config).not.toContain(secret);
  expect(result.errors).toEqual([]);
  if (config === '') return;
  const checked = parseConfig(config, { environment: {} });
  expect(checked.ok ? [] : checked.errors).toEqual([]);
}

const word = fc.constantFrom(
  ...['0', '1', '2', '3', '51', '100', '255', '256', '-1', '-254', '0.5', '5.25', '1e3', '99999999999'],
  ...[
    'on',
    'off',
    'reverse',
    'weight',
    'PASS',
    'AH',
    'MASTER',
    'BACKUP',
    'dev',
    'via',
    'src',
    'to',
    'table',
    'default',
  ],
  ...['eth0', 'eth1', '"a b"', 'a/b', 'chk', 'gw', 'gw2', 'G', 'constructor', '__proto__', 'min_ttl', 'metric', 'root'],
  ...['10.77.0.254/24', '10.77.0.1', '10.77.0.0/24', '192.0.2.0/24', '0.0.0.0', 'fe80::1/64', '2001:db8::1', '::/0'],
  ...[
    '/bin/true',
    '"/bin/x a \'b c\'"',
    'killall',
    '"killall -0 x"',
    '"</dev/tcp/1/2"',
    '""',
    '$A',
    '${HOME}',
    '$${X}',
  ],
  ...['$A=5', '~SEQ(A, 1, 3)', '@r1', '@^r1', 'file:/etc/k', '00:11:22:33:44:55', '\\\\', "'", 'ü', '#', '!'],
);
const words = fc.array(word, { maxLength: 4 }).map((all) => all.join(' '));
const keywordOf = (...tables: readonly object[]) => fc.constantFrom(...tables.flatMap((table) => Object.keys(table)));
const line = (keyword: fc.Arbitrary<string>) => fc.tuple(keyword, words).map((parts) => parts.join(' '));
const lines = (each: fc.Arbitrary<string>) => fc.array(each, { maxLength: 6 }).map((all) => all.join('\n'));
const block = (head: fc.Arbitrary<string>, body: fc.Arbitrary<string>) =>
  fc.tuple(head, body).map(([name, text]) => `${name} {\n${text}\n}`);

/** Values that are right more often than not, so that much of what is made is a virtual router. */
const sensible = fc.oneof(
  fc.integer({ min: 1, max: 5 }).map((id) => `virtual_router_id ${id}`),
  fc.integer({ min: 1, max: 255 }).map((priority) => `priority ${priority}`),
  fc.constantFrom('interface eth1', 'interface eth2', 'version 3', 'nopreempt', 'state MASTER', 'native_ipv6'),
  fc
    .integer({ min: 1, max: 60 })
    .map((host) => `virtual_ipaddress {\n10.77.0.${host}/24\nfe80::${host}/64 dev eth3\n}`),
  fc.constant('virtual_ipaddress_excluded {\n10.77.0.250/24\n2001:db8::1/64\n}'),
  fc.constantFrom('track_script {\nchk\nchk weight 5 reverse\n}', 'track_interface {\neth0 weight -9\n}'),
  fc.constantFrom(
    'track_file {\nf\n}',
    'track_process {\np weight 3\n}',
    'notify_master /bin/m root',
    'notify "/bin/n a"',
  ),
  fc.constant('unicast_src_ip 10.77.0.200\nunicast_peer {\n10.77.0.201 min_ttl 254\n}'),
  fc.constant(`authentication {\nauth_type PASS\nauth_pass ${secret}\n}`),
  fc.constant(`authentication { auth_type PASS auth_pass ${secret} }`),
  fc.constant(`auth_hmac {\nkey 1 ${secret}\nactive_key 1\n}`),
  fc.constant('virtual_routes {\nsrc 10.77.0.9 to 192.0.2.0/24 via 10.77.0.8\ndefault via 10.77.0.7\n}'),
);
const addressLine = fc.tuple(word, words).map((parts) => parts.join(' '));
const anyStatement = line(keywordOf(instanceReaders));
const listName = fc.constantFrom(
  'virtual_ipaddress',
  'virtual_ipaddress_excluded',
  'virtual_routes',
  'unicast_peer',
  'track_interface',
  'track_file',
  'authentication',
);
const statement = fc.oneof(
  { weight: 6, arbitrary: sensible },
  { weight: 2, arbitrary: anyStatement },
  { weight: 2, arbitrary: block(listName, lines(addressLine)) },
  { weight: 1, arbitrary: words },
);
const basis = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 61, max: 200 }))
  .map(([id, host]) => `interface eth1\nvirtual_router_id ${id}\nvirtual_ipaddress {\n10.77.0.${host}/24\n}`);
const instance = block(
  fc.constantFrom('gw', 'gw2', 'x', '"a b"', '').map((name) => `vrrp_instance ${name}`),
  fc.tuple(fc.option(basis, { nil: '' }), lines(statement)).map((parts) => parts.join('\n')),
);
const top = fc.oneof(
  { weight: 5, arbitrary: instance },
  block(fc.constant('global_defs'), lines(line(keywordOf(globalReaders)))),
  block(
    fc.constantFrom('vrrp_sync_group G', 'vrrp_sync_group "H H"'),
    lines(
      fc.oneof(
        line(keywordOf(groupReaders)),
        fc.constantFrom('group {\ngw\ngw2\n}', 'group { gw x }', 'notify_backup /bin/b', 'track_script {\nchk\n}'),
      ),
    ),
  ),
  block(
    fc.constant('vrrp_script chk'),
    lines(fc.oneof(fc.constant('script "/bin/c d"'), line(keywordOf(scriptReaders)))),
  ),
  block(fc.constant('track_file f'), lines(fc.oneof(fc.constant('file /run/f'), line(keywordOf(fileReaders))))),
  block(
    fc.constant('vrrp_track_process p'),
    lines(fc.oneof(fc.constant('process nginx'), line(keywordOf(processReaders)))),
  ),
  words,
  fc.constantFrom(
    'include x.conf',
    'include *',
    '$A=gw',
    '$B= \\\nvrrp_instance ${A} { \\\ninterface eth1 \\\n}\n\n$B',
    '}',
  ),
);
const file = fc.array(top, { maxLength: 8 }).map((all) => `${all.join('\n')}\n`);

it('a file of statements, right and wrong', () => {
  fc.assert(fc.property(file, judge), { numRuns: 200 });
});

it('any text', () => {
  const piece = fc.oneof(
    word,
    fc.constantFrom('{', '}', '\n', ' ', '"', '$', '~', '@', '(', ',', ')', '='),
    fc.string(),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 40 }).map((all) => all.join('')),
      judge,
    ),
    { numRuns: 400 },
  );
});

it('more virtual routers, addresses and tracks than Koi takes', () => {
  const text =
    '$I= \\\nvrrp_instance v${A}.${B} { \\\ninterface e${A} \\\nvirtual_router_id ${B} \\\nvirtual_ipaddress { \\\n10.0.${A}.${B} \\\n} \\\n' +
    'track_interface { \\\nt${A}.${B} \\\n} \\\n}\n\n~SEQ(A, 1, 6) ~SEQ(B, 1, 200) $I\n';
  const result = importText(text);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  expect([result.imported.routers.length, result.imported.tracks.length]).toEqual([1_024, 256]);
  judge(text);
});
