import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';

/*
 * Eight processes that want one name at the same moment, and names that somebody else has: one wins, nobody's device is
 * touched, and each refusal says which it was. Needs root and iproute2. KOI_RACES=all runs a thousand rounds.
 */
const rounds = process.env.KOI_RACES === 'all' ? 1000 : 50;
const names = process.env.KOI_RACES === 'all' ? 10_000 : 500;
const racers = 8;
const root = fileURLToPath(new URL('../..', import.meta.url));
const netns = `kt${process.pid}c`;
const ip = (command: string): string => execFileSync('ip', ['-n', netns, ...command.split(' ')], { encoding: 'utf8' });

/** Makes what a line tells it to, with a boot of its own, and answers `made` or why not. */
const script = (dist: string, racer: number): string => `
import { createInterface } from 'node:readline';
import { makeVirtualMacLink } from '${dist}/attach/virtual-mac-link.js';
import { createMacvlan } from '${dist}/kernel/links.js';
import { Netlink } from '${dist}/kernel/netlink.js';
const netlink = Netlink.open();
const mac = '00:00:5e:00:01:33';
const group = 0x4b000010 + ${racer};
process.stdout.write('ready\\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { name, parent, raw } = JSON.parse(line);
  let said = 'made';
  try {
    if (raw) {
      const ack = createMacvlan(netlink, { name, parentIfindex: parent, mac, mode: 'private', group });
      if (!ack.ok) said = ack.errno;
    } else {
      const alias = 'koi:edge:gw:boot${racer}';
      makeVirtualMacLink({ netlink }, { linkName: name, alias, group, virtualMac: mac }, parent);
    }
  } catch (error) {
    said = error.message;
  }
  process.stdout.write(said + '\\n');
}
`;

class Racer {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  constructor(dist: string, racer: number) {
    const words = ['netns', 'exec', netns, process.execPath, '--input-type=module', '-e', script(dist, racer)];
    this.#child = spawn('ip', words, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no output');
    this.#lines = createInterface({ input: this.#child.stdout });
  }

  async says(): Promise<string> {
    const [line] = (await once(this.#lines, 'line', { signal: AbortSignal.timeout(20_000) })) as [string];
    return line;
  }

  make(name: string, parent: number, raw = false): Promise<string> {
    const said = this.says();
    this.#child.stdin?.write(`${JSON.stringify({ name, parent, raw })}\n`);
    return said;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

describe.skipIf(!isRoot)('names that collide (needs root)', { timeout: 30_000 + rounds * 500 }, () => {
  let built: BuiltKoi;
  let all: Racer[] = [];
  let parent = 0;

  beforeAll(async () => {
    built = buildKoi();
    execFileSync('ip', ['netns', 'add', netns]);
    ip('link add p0 type veth peer name p1');
    parent = Number(ip('-o link show dev p0').split(':')[0]);
    all = Array.from({ length: racers }, (_, racer) => new Racer(dirname(dirname(built.main)), racer));
    await Promise.all(all.map((racer) => racer.says()));
  }, 120_000);
  afterAll(() => {
    for (const racer of all) racer.stop();
    execFileSync('ip', ['netns', 'del', netns]);
    built?.remove();
  });

  const first = (): Racer => {
    const [racer] = all;
    if (racer === undefined) throw new Error('no racer');
    return racer;
  };

  it('of eight processes one makes the link; the others change nothing of it and say whose it is', async () => {
    const refusals = new Set<string>();
    for (let round = 0; round < rounds; round += 1) {
      const name = `koi51.${round}`;
      const said = await Promise.all(all.map((racer) => racer.make(name, parent)));
      const winners = said.flatMap((line, racer) => (line === 'made' ? [racer] : []));
      expect(winners, said.join('\n')).toHaveLength(1);
      expect(ip(`-d link show dev ${name}`)).toContain(`alias koi:edge:gw:boot${winners[0]}`);
      for (const line of said) if (line !== 'made') refusals.add(line.replaceAll(name, 'NAME'));
      ip(`link del ${name}`);
    }
    for (const line of refusals)
      expect(line).toMatch(/^NAME (belongs to cluster edge, virtual router gw|is being made by another koi)/);
    process.stdout.write(`${racers} processes × ${rounds} rounds: 1 winner each; ${[...refusals].join(' | ')}\n`);
  });

  it("somebody else's device of that name stays as it is to the last letter, and is named", async () => {
    ip('link add koi51.theirs link p0 type macvlan mode bridge');
    const before = ip('-d link show dev koi51.theirs');
    const said = await Promise.all(all.map((racer) => racer.make('koi51.theirs', parent)));
    for (const line of said) expect(line).toBe("the name koi51.theirs belongs to an interface that is not koi's");
    expect(ip('-d link show dev koi51.theirs')).toBe(before);
    ip('link del koi51.theirs');
  });

  it(`${names} names are taken and given back: the kernel has what the model has, and none is lost`, () => {
    const program = fileURLToPath(new URL('./name-churn.ts', import.meta.url));
    const words = ['netns', 'exec', netns, process.execPath, '--import', 'tsx', program, `${parent}`, `${names}`];
    const startedMs = performance.now();
    const said = JSON.parse(execFileSync('ip', words, { encoding: 'utf8', cwd: root })) as {
      made: number;
      refused: number;
    };
    expect(said.made).toBe(names);
    expect(said.refused).toBeGreaterThan(0);
    expect(ip('-o link show')).not.toContain('koi');
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    process.stdout.write(`${names} names taken, ${said.refused} refused as another run's, 0 lost, in ${seconds} s\n`);
  });

  it.each([
    ['in use', 'p1', 'EEXIST'],
    ['in use, as an alternative name', 'alternative', 'EEXIST'],
    ['too long', 'sixteen.letters.', 'ERANGE'],
    ['invalid', 'a/b', 'EINVAL'],
    ['invalid', 'a b', 'EINVAL'],
    ['invalid', 'a:b', 'EINVAL'],
    ['invalid', '..', 'EINVAL'],
    ['a pattern of none that is known', 'koi%s', 'EINVAL'],
  ])('the kernel says of a name that is %s (%s): %s', async (_, name, errno) => {
    if (name === 'alternative' && !ip('link show dev p1').includes('altname')) {
      ip('link property add dev p1 altname alternative');
    }
    expect(await first().make(name, parent, true)).toBe(errno);
  });
});
