import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { observeFor, stallMs } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { isRoot } from './host.js';
import { DaemonPair } from './pair.js';

const [one, two] = ['10.77.0.254', '10.77.0.253'];
const adverts = 100;

/** The operator's commands on a pair of real daemons, each with its own kernel, LAN and the same log. */
describe.skipIf(!isRoot || natsServerBinary === undefined)('commands on a pair (needs root and nats-server)', () => {
  let built: BuiltKoi;
  let pair: DaemonPair;

  beforeAll(async () => {
    built = buildKoi();
    pair = new DaemonPair(built.main);
    pair.configure(
      [
        { name: 'gw', protocol: 'vrrp3', id: 51, addresses: [`${one}/24`] },
        { name: 'dmz', protocol: 'vrrp3', id: 52, addresses: [`${two}/24`] },
        // Priorities alone would bring back what is handed over.
      ].map((router) => ({ ...router, preempt: { enabled: false } })),
    );
    await pair.startLog();
    pair.start('r1');
    await pair.allAre('r1', 'master');
    pair.start('r2');
    await pair.allAre('r2', 'backup');
  }, 60_000);
  afterAll(async () => {
    await pair?.endAll();
    pair?.remove();
    built?.remove();
  });

  it('handover goes forth and back, from either node, and says who, how long and with which term', async () => {
    const forth = await pair.koi('r1', 'handover', 'gw');
    expect([forth.code, forth.stderr]).toEqual([0, '']);
    expect(forth.stdout).toMatch(/^gw: r2 has taken over from r1 in [\d.]+ ms, with term \d+\n$/);
    expect([pair.holds('r1', one), pair.holds('r2', one), pair.holds('r1', two)]).toEqual([false, true, true]);
    // r1 is not the master any more: it asks r2.
    const back = await pair.koi('r1', 'handover', 'gw', '--to', 'r1', '--json');
    expect(back).toMatchObject({ code: 0, stderr: '' });
    const report = JSON.parse(back.stdout);
    expect(report).toMatchObject({ kind: 'moved', vr: 'gw', from: 'r2', to: 'r1' });
    expect(report.tookMs).toBeLessThan(1000 + stallMs);
    expect([pair.holds('r1', one), pair.holds('r2', one)]).toEqual([true, false]);
    const again = await pair.koi('r2', 'handover', 'gw', '--to', 'r1');
    expect(again).toMatchObject({ code: 0, stdout: expect.stringMatching(/^gw: r1 is the master already/) });
  });

  it('handover refuses an unknown virtual router and an unknown node with 2, and says what was meant', async () => {
    expect(await pair.koi('r1', 'handover', 'gww')).toEqual({
      code: 2,
      stdout: '',
      stderr: "koi: there is no virtual router 'gww'\n  → did you mean 'gw'?\n",
    });
    expect(await pair.koi('r2', 'handover', 'gw', '--to', 'r7')).toEqual({
      code: 2,
      stdout: '',
      stderr: "koi: --to: the log knows no node 'r7'\n  → the nodes are r2, r1\n",
    });
    expect(await pair.koi('r1', 'handover', 'gw', '--timeout', 'soon')).toMatchObject({ code: 2 });
  });

  it('drain hands over everything, is refused as a target, and outlives a restart until undrain', async () => {
    const drained = await pair.koi('r1', 'drain');
    expect(drained).toMatchObject({ code: 0, stderr: '' });
    expect(drained.stdout).toMatch(
      /^drained since .*\ngw: r2 has taken over in .* ms\ndmz: r2 has taken over in .* ms\n$/,
    );
    expect([pair.holds('r1', one), pair.holds('r2', one), pair.holds('r2', two)]).toEqual([false, true, true]);
    const refused = await pair.koi('r2', 'handover', 'gw', '--to', 'r1');
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('r1 cannot take gw over: it is drained'),
    });
    expect(existsSync(pair.file('r1', 'state/drained.json'))).toBe(true);

    await pair.stop('r1');
    pair.start('r1');
    await pair.allAre('r1', 'backup');
    await pair.stop('r2');
    // The addresses are free, and r1 leaves them alone for much longer than a takeover takes.
    await observeFor(20 * adverts);
    expect([pair.holds('r1', one), pair.holds('r1', two)]).toEqual([false, false]);
    expect(await pair.koi('r1', 'undrain')).toMatchObject({ code: 0, stdout: 'this node is in service\n' });
    await pair.allAre('r1', 'master');
    expect(existsSync(pair.file('r1', 'state/drained.json'))).toBe(false);
  });

  it('audit finds nothing wrong in what they have written so far, read with and without the daemon', async () => {
    const audit = await pair.koi('r1', 'audit', '--json');
    const report = JSON.parse(audit.stdout);
    expect(report.findings).toEqual([]);
    expect([audit.code, audit.stderr, report.ok]).toEqual([0, '', true]);
    expect(report.events).toBeGreaterThan(30);
    const asked = await pair.koi('r1', 'audit', '--socket', pair.file('r1', 'koi.sock'));
    expect(asked).toMatchObject({ code: 0, stdout: expect.stringContaining('every promise was kept') });
    expect(await pair.koi('r1', 'audit', '--bound', 'x')).toMatchObject({ code: 2 });
  });

  it('replay shows who owned what at an event and at a time', async () => {
    const replay = async (at: string) => JSON.parse((await pair.koi('r2', 'replay', '--at', at, '--json')).stdout);
    const now = await replay('0s');
    expect(now.vrs).toMatchObject([
      { name: 'gw', owner: 'r1', released: false },
      { name: 'dmz', owner: 'r1', released: false },
    ]);
    const early = await replay('@6');
    expect([early.sequence, early.nodes.length]).toEqual([6, 1]);
    expect(early.vrs.every(({ term }: { term: number }) => term < now.vrs[0].term)).toBe(true);
    expect(await replay('2020-01-01')).toMatchObject({ at: null, sequence: 0, vrs: [] });
    expect(await pair.koi('r2', 'replay', '--at', '@x')).toMatchObject({ code: 2 });
  });

  it('drain with nobody to take serves on and exits 1, with --force releases', async () => {
    const kept = await pair.koi('r1', 'drain');
    expect([kept.code, kept.stderr]).toEqual([1, '']);
    expect(kept.stdout).toContain('gw: still served here: there is nobody to hand gw over to (r2: it has stopped)');
    expect([pair.holds('r1', one), pair.holds('r1', two)]).toEqual([true, true]);
    const forced = await pair.koi('r1', 'drain', '--force');
    expect([forced.code, forced.stderr]).toEqual([0, '']);
    expect(forced.stdout).toContain('gw: released, although there is nobody to hand gw over to');
    expect([pair.holds('r1', one), pair.holds('r1', two)]).toEqual([false, false]);
    expect(await pair.koi('r1', 'handover', 'gw')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nobody is the master of gw now'),
    });
  });

  it('handover says that the log is away, and exits 4', async () => {
    expect((await pair.koi('r1', 'undrain')).code).toBe(0);
    await pair.allAre('r1', 'master');
    await pair.stop('log');
    await pair.until('r1 to miss the log', 'r1', ({ log }) => (log.connected ? 'it is connected' : undefined));
    for (const words of [['handover', 'gw'], ['audit'], ['replay', '--at', '1m']]) {
      expect(await pair.koi('r1', ...words)).toMatchObject({
        code: 4,
        stderr: expect.stringContaining('koi: the log cannot be reached'),
      });
    }
  });
});
