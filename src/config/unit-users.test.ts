import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from './load.js';
import type { ConfigProblem } from './problem.js';
import { checkUnitUsers, type Step, type UnitUser, type UnitView } from './unit-users.js';
import { mayPass } from './unit-view.js';

const text = `cluster: edge
node: r1
lanKeyFile: /etc/koi/lan.key
log:
  user: koi
  passwordFile: /etc/koi/nats.pass
  embedded: {listen: "127.0.0.1:4222", storeDir: /var/lib/koi/nats}
virtualRouters:
  - {name: gw, interface: eth1, id: 51, addresses: [10.77.0.254/24]}
  - {name: c, protocol: carp, interface: eth1, id: 52, addresses: [10.77.0.253/24], carp: {passwordFile: /root/carp.pass}}
`;

const everything: UnitView = {
  units: ['koi-agent', 'koi-log-server', 'koi-dataplane'],
  configFile: '/etc/koi/koi.yaml',
  realPath: (file) => file,
  mayPass: (_user, steps) => steps.map(() => true),
};

function judge(view: Partial<UnitView>, { of = text, file = '/etc/koi/koi.yaml' } = {}) {
  const { document } = parseConfig(of, { environment: {} });
  if (document === undefined) throw new Error('the text is no YAML');
  const { errors, warnings } = checkUnitUsers(document, file, { ...everything, ...view });
  const shown = ({ path, line, message, remedy }: ConfigProblem): string => `${path}@${line}: ${message} → ${remedy}`;
  return { errors: errors.map(shown), warnings: warnings.map(shown) };
}

/** Those whom the steps of `barred` stop. */
const barring =
  (barred: Readonly<Record<string, readonly string[]>>) =>
  (user: UnitUser, steps: readonly Step[]): boolean[] =>
    steps.map(({ path }) => barred[user.user]?.includes(path) !== true);

describe('the files of a configuration, and the users of the units', () => {
  it('names the units that a file keeps from starting, and what to type', () => {
    const { errors } = judge({ mayPass: barring({ koi: ['/etc/koi/nats.pass'], root: ['/etc/koi/lan.key'] }) });
    expect(errors).toEqual([
      'log.passwordFile@6: /etc/koi/nats.pass cannot be read by user koi, as which koi-agent and koi-log-server run: they do ' +
        'not start → chown root:koi /etc/koi/nats.pass && chmod 0640 /etc/koi/nats.pass',
      'lanKeyFile@3: /etc/koi/lan.key cannot be read by koi-dataplane, which is root without a right to files of others, in ' +
        'group koi: it does not start → chown root:koi /etc/koi/lan.key && chmod 0640 /etc/koi/lan.key',
    ]);
  });

  it('names the directory that stops them, once for each file behind it', () => {
    const { errors } = judge({ mayPass: barring({ koi: ['/etc/koi'] }) });
    expect(errors).toEqual([
      expect.stringMatching(
        /^@undefined: .*koi\.yaml cannot be reached by user koi.* may not enter \/etc\/koi:.*chgrp koi/,
      ),
      expect.stringMatching(/^log\.passwordFile@6: .* → chgrp koi \/etc\/koi && chmod 0750 \/etc\/koi$/),
    ]);
  });

  it('warns of a place that the units do not see', () => {
    expect(judge({})).toEqual({
      errors: [],
      warnings: [
        'virtualRouters[1].carp.passwordFile@10: /root/carp.pass is not seen by koi-dataplane: ProtectHome= of the unit ' +
          'hides it → put it into /etc/koi',
      ],
    });
  });

  it('asks of the log’s server only where there is one, and of a configuration only where it is the units’', () => {
    const asked: string[] = [];
    const view: Partial<UnitView> = {
      mayPass: ({ user }, steps) => {
        asked.push(...steps.filter(({ kind }) => kind === 'file').map(({ path }) => `${user} ${path}`));
        return steps.map(() => false);
      },
    };
    const of = text.replace(/embedded: .*/, 'servers: ["nats://127.0.0.1:4222"]');
    const { errors } = judge(view, { of, file: '/root/draft.yaml' });
    expect(asked).toEqual(['koi /etc/koi/nats.pass', 'root /etc/koi/lan.key', 'root /root/carp.pass']);
    expect(errors[0]).toContain('as which koi-agent runs, since it may not enter');
  });

  it('looks at the files of a configuration that is wrong elsewhere, and leaves absent ones to others', () => {
    const of = text.replace('id: 51', 'id: 510');
    const realPath = (file: string) => (file.endsWith('lan.key') ? undefined : file);
    const { errors } = judge({ realPath, mayPass: (_, steps) => steps.map(() => false) }, { of });
    expect(errors.map((each) => each.split('@')[0])).toEqual([
      '',
      'log.passwordFile',
      '',
      'virtualRouters[1].carp.passwordFile',
    ]);
  });

  it('warns where it cannot be tried', () => {
    const { errors, warnings } = judge({
      mayPass: () => {
        throw new Error('setpriv: not found');
      },
    });
    expect([errors, warnings.length, warnings[0]]).toEqual([[], 2, expect.stringContaining('setpriv: not found')]);
  });
});

describe.skipIf(process.getuid?.() !== 0)('what the kernel lets a user read (needs root)', () => {
  const nobody: UnitUser = { user: 'nobody', group: 'nogroup', unprivilegedRoot: false };
  const root: UnitUser = { user: 'root', group: 'nogroup', unprivilegedRoot: true };
  const nobodyId = 65_534;
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'koi-units-'));
    chmodSync(folder, 0o755);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const put = (name: string, mode: number, owner: number, group: number): Step => {
    const path = join(folder, name);
    writeFileSync(path, 'a secret');
    chownSync(path, owner, group);
    chmodSync(path, mode);
    return { path, kind: 'file' };
  };

  it('is what owner, group, mode and the directories on the way say, without the right of root', () => {
    const files = [
      put('root 0600', 0o600, 0, 0),
      put('root:nogroup 0640', 0o640, 0, nobodyId),
      put('nobody 0600', 0o600, nobodyId, nobodyId),
      put('root 0644', 0o644, 0, 0),
    ];
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o750 });
    const steps: Step[] = [...files, { path: closed, kind: 'directory' }, { path: folder, kind: 'directory' }];
    expect(mayPass(nobody, steps)).toEqual([false, true, true, true, false, true]);
    expect(mayPass(root, steps)).toEqual([true, true, false, true, true, true]);
  });

  it('is an error where there is no such user', () => {
    const user: UnitUser = { user: 'kt-nobody-at-all', group: 'nogroup', unprivilegedRoot: false };
    expect(() => mayPass(user, [put('any', 0o644, 0, 0)])).toThrow(/kt-nobody-at-all/);
  });
});
