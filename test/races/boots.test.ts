import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { nowMs } from '../lab/clock.js';
import { MainProcess } from '../lab/daemon.js';
import { waitUntil } from '../lab/wait.js';
import { Site } from '../placement/site.js';
import { vip, virtualMac } from './address-site.js';
import { AddressWire } from './address-wire.js';
import { figureMs } from './figure.js';

/*
 * A node boots again and again, in a network namespace that is new each time: the interface appears, is cabled, comes up and
 * gets its address, and Koi's dataplane starts, in an order and with pauses of chance. The end is the same each time.
 * Needs root, iproute2 and tcpdump. KOI_RACES=all boots a thousand times; KOI_BOOTS=FROM,COUNT some of them.
 */
const [first = 0, count = process.env.KOI_RACES === 'all' ? 1000 : 5] = (process.env.KOI_BOOTS ?? '')
  .split(',')
  .filter((text) => text !== '')
  .map(Number);
/** The pauses between its steps are what is tried, as their order is. */
const pauseMaxMs = 60;
/** So many nodes at once. */
const benchesMax = 4;

/** The same chance for the same boot. */
function chance(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A node on a LAN of its own, with a client that hears what is said for the address. */
class Bench {
  readonly site: Site;
  readonly wire: AddressWire;
  readonly #main: string;

  constructor(main: string) {
    this.#main = main;
    this.site = new Site(main);
    this.wire = new AddressWire(this.site.netns('client'), 'eth1', { [vip]: virtualMac });
    // Nobody starts a dataplane again that its guard has ended because a machine with so many boots at once did not run it.
    const more = { guard: { timeout: '5s' } };
    this.site.configure('r1', [{ protocol: 'vrrp3', addresses: [`${vip}/24`] }], more);
  }

  /** What is not as it should be at the end of a boot. */
  #notWhole(): string | undefined {
    const { site } = this;
    const links = site.ip('r1', '-d -o link show type macvlan').trim().split('\n');
    const [link = ''] = links;
    if (links.length !== 1 || !link.includes(virtualMac) || !link.includes(',UP') || !link.includes('mode private')) {
      return links.join('\n');
    }
    const addresses = site.ip('r1', '-o -4 addr show').trim().split('\n');
    const holders = addresses.filter((line) => line.includes(` ${vip}/`));
    const isHeld = holders.length === 1 && holders[0]?.includes(' koi51.') === true;
    if (!isHeld || !addresses.some((line) => line.includes('eth1') && line.includes(' 10.77.0.1/24 '))) {
      return addresses.join('\n');
    }
    const conf = ['arp_ignore', 'arp_announce'].map((key) => `/proc/sys/net/ipv4/conf/eth1/${key}`);
    const guards = site.run('r1', 'cat', ...conf);
    return guards === '1\n2\n' ? undefined : `guards ${guards}`;
  }

  /** @returns the order, the milliseconds until all was in place, and what was wrong */
  async boot(number: number): Promise<{ order: string; tookMs: number; wrong: string | undefined }> {
    const { site } = this;
    const netns = site.netns('r1');
    // A namespace that is deleted lets go of its interfaces a moment later.
    site.run('switch', 'ip', 'link', 'del', 'r1-0');
    site.inNamespace(undefined, 'ip', 'netns', 'del', netns);
    site.inNamespace(undefined, 'ip', 'netns', 'add', netns);
    site.ip('r1', 'link set lo up');
    const random = chance(number);
    const koi = new MainProcess(netns, join(site.directory, `boot-${number}.log`));
    const steps: Readonly<Record<string, () => void>> = {
      plug: () => void site.ip('switch', `link add r1-0 type veth peer name eth1 netns ${netns}`),
      cable: () => void site.ip('switch', 'link set r1-0 master br0 up'),
      up: () => void site.ip('r1', 'link set eth1 up'),
      address: () => void site.ip('r1', 'addr add 10.77.0.1/24 dev eth1'),
      koi: () => koi.start(process.execPath, [this.#main, 'dataplane', '-c', site.configFile('r1')]),
    };
    // Nothing is done to an interface that is not there.
    const order: string[] = ['plug'];
    for (const step of ['cable', 'up', 'address']) order.splice(1 + random(order.length), 0, step);
    order.splice(random(order.length + 1), 0, 'koi');
    const startedMs = nowMs();
    for (const step of order) {
      steps[step]?.();
      await pause(random(pauseMaxMs));
    }
    const faults: string[] = [];
    await waitUntil(`boot ${number}`, () => this.#notWhole(), { deadlineMs: 20_000, everyMs: 50 }).catch(
      (error: Error) => faults.push(error.message),
    );
    const tookMs = nowMs() - startedMs;
    const ended = await koi.stop(10_000);
    if (ended !== 0) faults.push(`ended with ${ended}`);
    if (site.ip('r1', '-o link show').includes('koi51')) faults.push('a link was left');
    const wrong = faults.length === 0 ? undefined : `boot ${number}: ${faults.join('; ')}\n${koi.lastWords(20)}`;
    return { order: order.join(' '), tookMs, wrong };
  }

  remove(): void {
    this.wire.stop();
    this.site.remove();
  }
}

describe.skipIf(!isRoot)('a node that boots (needs root)', { timeout: 60_000 + count * 4000 }, () => {
  let built: BuiltKoi;
  const benches: Bench[] = [];

  beforeAll(async () => {
    built = buildKoi();
    for (let bench = 0; bench < Math.min(benchesMax, count); bench += 1) benches.push(new Bench(built.main));
    await Promise.all(benches.map(({ wire }) => wire.ready()));
  }, 120_000);
  afterAll(() => {
    for (const bench of benches) bench.remove();
    built?.remove();
  });

  it(`boots ${count} times, in any order of starts: 0 wrong ends`, async () => {
    const tookMs: number[] = [];
    const orders = new Set<string>();
    const wrong: string[] = [];
    let next = first;
    const bootOn = async (bench: Bench): Promise<void> => {
      while (next < first + count && wrong.length <= 3) {
        const result = await bench.boot(next++);
        orders.add(result.order);
        tookMs.push(result.tookMs);
        if (result.wrong !== undefined) wrong.push(result.wrong);
      }
    };
    await Promise.all(benches.map(bootOn));
    figureMs(
      `booted ${tookMs.length} times in ${orders.size} orders, ${wrong.length} wrong ends: served after`,
      tookMs,
    );
    expect(wrong).toEqual([]);
    for (const { wire } of benches) await wire.expectNothingWrong();
  });
});
